"""Small ONNX graphs with known answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPEN = ("n", "c", "h", "w")


def save(
    path: Path,
    nodes: Sequence[NodeProto],
    taken: Mapping[str, Sequence[int | str]],
    given: Sequence[str],
    weights: Mapping[str, NDArray[Any]] | None = None,
    kind: int = TensorProto.FLOAT,
    **options: Any,  # noqa: ANN401 (of onnx.save)
) -> str:
    """Write a graph; `taken` are its inputs with their shapes, `given` its outputs."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in taken.items()],
        [helper.make_tensor_value_info(name, kind, None) for name in given],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path), **options)
    return str(path)


def patches(channels: int, stride: int) -> NDArray[np.float32]:
    """Return the kernel of a strided convolution that is PixelUnshuffle; transposed, it is PixelShuffle."""
    return np.eye(channels * stride**2, dtype=np.float32).reshape(-1, channels, stride, stride)


def unshuffling(
    folder: Path,
    stride: int = 4,
    size: tuple[int | str, int | str] = ("h", "w"),
    count: int | str = "n",
    kind: int = TensorProto.FLOAT,
    **options: Any,  # noqa: ANN401 (of onnx.save)
) -> dict[str, str]:
    """Write a lossless pair for colour images and return how a configuration names it."""
    kernel = patches(3, stride).astype(helper.tensor_dtype_to_np_dtype(kind))
    there = helper.make_node("Conv", ["image", "kernel"], ["latent"], strides=[stride, stride])
    back = helper.make_node("ConvTranspose", ["latent", "kernel"], ["image"], strides=[stride, stride])
    inside: dict[str, Sequence[int | str]] = {"latent": (count, 3 * stride**2, "rows", "columns")}
    shape = (count, 3, *size)
    weights = {"kernel": kernel}
    return {
        "encoder": save(folder / "encoder.onnx", [there], {"image": shape}, ["latent"], weights, kind, **options),
        "decoder": save(folder / "decoder.onnx", [back], inside, ["image"], weights, kind, **options),
    }
