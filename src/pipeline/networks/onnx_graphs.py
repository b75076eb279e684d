"""One ONNX graph on the processor: one thread, the same result every time (ONNX Runtime)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.networks.finite import finite

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
SEVERE = 3

Session: TypeAlias = Any
"""An InferenceSession, which states no types that a checker could use."""
Array = NDArray[np.float32]


class Graph:
    """A graph with one input and one or several outputs, all of them n x channels x height x width."""

    def __init__(self, file: str, data: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
        self.file = file
        self.session = _session(file, data)
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise StudyError(f"{file} takes {len(inputs)} inputs ({_names(inputs)}), and must take one")
        self.input: str = inputs[0].name
        self.type = TYPES.get(inputs[0].type)
        if self.type is None:
            raise StudyError(f"{file} takes a {inputs[0].type}, and must take floating-point numbers")
        self.outputs = self._chosen(outputs)
        self.shape = _sizes(file, inputs[0].shape)

    def _chosen(self, outputs: Sequence[str]) -> list[str]:
        found = self.session.get_outputs()
        for name in outputs:
            if name not in [output.name for output in found]:
                raise StudyError(f"{self.file} has no output '{name}'; it has {_names(found)}")
        if not outputs and len(found) > 1:
            raise StudyError(f"{self.file} has several outputs ({_names(found)}): say which are meant")
        return list(outputs) or [found[0].name]

    def __call__(self, values: Array) -> list[Array]:
        """Run the graph, one sample at a time: then nothing can depend on what else is in the batch.

        Raises:
            StudyError: it does not take arrays of this shape, or a value that goes in or comes out is not finite.
        """
        finite(values, f"what {self.file} is given")
        samples = [self._run(sample[None]) for sample in values]
        return [np.concatenate(arrays) for arrays in zip(*samples, strict=True)]

    def _run(self, sample: Array) -> list[Array]:
        try:
            made = self.session.run(self.outputs, {self.input: sample.astype(self.type)})
        except Exception as error:  # The runtime's exceptions have no base class of their own.
            raise StudyError(f"{self.file} does not run on an array of {sample.shape}: {error}") from error
        for name, array in zip(self.outputs, made, strict=True):
            if array.ndim != 4 or len(array) != 1 or not np.issubdtype(array.dtype, np.floating):
                raise StudyError(
                    f"output '{name}' of {self.file} is {array.dtype} of {array.shape}, and no 1 x c x h x w"
                )
        return [finite(array.astype(np.float32), f"what {self.file} gives") for array in made]


def _session(file: str, data: Sequence[str]) -> Session:
    """Read a graph; weights outside it are taken from the files that are named, and from no other."""
    for path in (file, *data):
        if not Path(path).is_file():
            raise StudyError(f"there is no file {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = SEVERE
    # Nothing lies below a file: the runtime would otherwise look for a graph's weights in the working folder.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(Path(file).resolve()))
    # A graph names them as they lie below its folder: two graphs' files may well have one name.
    folder = Path(file).parent
    beside = {str(Path(path).relative_to(folder)): path for path in data if Path(path).is_relative_to(folder)}
    contents = [Path(path).read_bytes() for path in beside.values()]
    if contents:
        sizes = [len(content) for content in contents]
        options.add_external_initializers_from_files_in_memory(list(beside), contents, sizes)
    try:
        return onnxruntime.InferenceSession(Path(file).read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The runtime's exceptions have no base class of their own.
        raise StudyError(f"{file} cannot be read as an ONNX graph: {error}") from error


def _names(arguments: Sequence[Any]) -> str:
    return ", ".join(argument.name for argument in arguments)


def _sizes(file: str, shape: Sequence[int | str | None]) -> list[int | None]:
    """Return the declared size of each axis, None where it is left open."""
    if len(shape) != 4 or (isinstance(shape[0], int) and shape[0] != 1):
        raise StudyError(f"{file} takes an array of {shape}, and must take n x c x h x w, n being open or 1")
    return [size if isinstance(size, int) else None for size in shape]
