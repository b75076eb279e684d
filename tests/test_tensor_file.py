"""Tensors written row by row are read by safetensors itself."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from pipeline.files import write_atomically
from pipeline.tensor_file import TYPES, TensorFile

shapes = st.dictionaries(
    st.text("abc_. \u00e4", min_size=1, max_size=5),
    st.tuples(st.sampled_from(sorted(TYPES)), st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 2**31), st.integers(1, 3))
def test_safetensors_reads_what_was_written(
    tmp_path_factory: object, layout: dict[str, tuple[str, tuple[int, ...]]], seed: int, step: int
) -> None:
    random = np.random.default_rng(seed)
    expected = {name: random.normal(0, 100, shape).astype(dtype) for name, (dtype, shape) in layout.items()}
    path = Path(tmp_path_factory.mktemp("tensors")) / "x.safetensors"  # type: ignore[attr-defined]

    def fill(temporary: Path) -> None:
        file = TensorFile(temporary, layout)
        for name, values in expected.items():
            for row in reversed(range(0, len(values), step)):
                file.write(name, row, values[row : row + step])
        file.close()

    write_atomically(path, fill)
    found = load_file(path)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def test_rows_that_were_not_written_are_zero(tmp_path: Path) -> None:
    file = TensorFile(tmp_path / "x.safetensors", {"a": ("float32", (3, 2))})
    file.write("a", 1, np.ones((1, 2)))
    file.close()
    np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["a"], [[0, 0], [1, 1], [0, 0]])
