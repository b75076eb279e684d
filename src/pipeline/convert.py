"""Convert a pickled checkpoint to safetensors, once, in a process of its own.

PyTorch reads it with `weights_only=True`: tensors, numbers and containers of them, and nothing that would need code.
"""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.program import run

if TYPE_CHECKING:
    from torch import Tensor

CODE = re.compile(r"GLOBAL ([\w.]+)")
"""How PyTorch names what a pickle would have called."""


def convert(checkpoint: Path, output: Path) -> None:
    """Write the tensors of a checkpoint; the same tensors always give the same bytes.

    Raises:
        StudyError: the file is missing, is no checkpoint, needs code to be loaded, or holds something else than
            tensors by name.
    """
    from safetensors.torch import save_file

    # Two names may share one tensor, which safetensors does not know: each gets its own.
    tensors = {name: value.detach().clone().contiguous() for name, value in sorted(_tensors(checkpoint).items())}
    write_atomically(output, lambda path: save_file(tensors, path, {"format": "pt"}))


def _tensors(checkpoint: Path) -> "dict[str, Tensor]":
    """Return the tensors of a checkpoint, those below `state_dict` where it has one."""
    from torch import Tensor, strided

    content = _read(checkpoint)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise StudyError(f"{checkpoint} holds no tensors by name")
    for name, value in content.items():
        plain = isinstance(value, Tensor) and value.layout == strided and not value.is_quantized
        if not isinstance(name, str) or not plain:
            raise StudyError(f"{checkpoint} holds something else than plain tensors by name: {name!r}")
    return dict(content)


def _read(checkpoint: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    import torch

    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StudyError(f"the file {checkpoint} is missing") from None
    except pickle.UnpicklingError as error:
        if found := CODE.search(str(error)):
            raise StudyError(
                f"{checkpoint} is refused: it needs {found[1]}, and nothing that it names is run"
            ) from None
        raise StudyError(f"{checkpoint} is no checkpoint that can be read") from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError, IndexError, TypeError) as error:
        raise StudyError(f"{checkpoint} is no checkpoint that can be read ({type(error).__name__})") from None


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="a file that ends in .safetensors")
    arguments = parser.parse_args()
    if arguments.output.suffix != ".safetensors":
        raise StudyError(f"{arguments.output} must end in .safetensors")
    convert(arguments.checkpoint, arguments.output)


if __name__ == "__main__":
    run(main)
