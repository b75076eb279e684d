"""The table of ratios, and the examples beside it."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bench import __main__ as command
from bench import encoding, writing
from bench.measure import COLUMNS, FREE, Bound, Row, at_least, at_most, in_turn, machine, write

from pipeline.store import Layout, Rows, lay_out, shard_rows, write_shard

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/performance.md").read_text()


def test_a_table_says_what_each_value_is_relative_to_and_whether_its_bound_is_met(tmp_path: Path) -> None:
    rows = [
        Row("fast", 5.12345, 5, True, than="the other"),
        Row("slow", 4.9, 5, True, than="the other"),
        Row("small", 2, 3, False, than="files"),
        Row("told", 7.0, than="the other"),
        Row("elsewhere", None, 3, True, "not yet measured: no CUDA device", "one by one"),
    ]
    write(rows, tmp_path / "bench.csv")
    table = pd.read_csv(tmp_path / "bench.csv", keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert list(table["met"]) == ["yes", "no", "yes", "", "not yet measured"]
    assert list(table["value"]) == ["5.123", "4.9", "2", "7", ""]
    assert list(table["bound"]) == [">= 5", ">= 5", "<= 3", "", ">= 3"]
    assert set(table["machine"]) == {machine()}
    assert [row.holds() for row in rows] == [True, False, True, True, True]
    assert "MISSED" in str(rows[1])
    assert str(rows[4]).rstrip().endswith("one by one; not yet measured: no CUDA device")


def test_the_machine_is_named_without_a_host_name() -> None:
    assert re.fullmatch(r".+, \d+ cores(, virtual machine)?, .+", machine())
    assert Path("/proc/sys/kernel/hostname").read_text().strip() not in machine()


def test_a_ratio_of_a_thing_to_itself_is_one() -> None:
    values = np.random.default_rng(0).random((300, 300))
    ratio, _ = in_turn(lambda: values @ values, lambda: values @ values, 31)
    assert 0.5 < ratio < 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_rows_of_an_accelerator_are_said_to_be_missing(tmp_path: Path) -> None:
    rows = list(encoding.accelerated(tmp_path))
    assert len(rows) >= 2
    assert all(row.ratio is None and row.note == "not yet measured: no CUDA device" for row in rows)


def test_latents_are_few_files(tmp_path: Path) -> None:
    row = writing.files(tmp_path)
    assert (row.ratio, row.holds()) == (13, True)


def test_an_unknown_section_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "reding"])
    with pytest.raises(SystemExit):
        command.main()
    assert "there is no section reding" in capsys.readouterr().err


def test_the_examples_of_other_programs_run_on_a_store(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(3, 2, (40, 4, 8, 8)).astype(np.float16)
    for name, dtype, values in (
        ("images/chest.zarr", "uint16", np.full((40, 1, 64, 64), 65535, np.uint16)),
        ("latents/chest/kl.zarr", "float16", drawn),
    ):
        store = tmp_path / "results" / name
        lay_out(store, Layout(40, values.shape[1:], 2, dtype, {"kind": "latents"}))
        for shard in range(2):
            write_shard(store, shard, values[slice(*shard_rows(store, shard))], {})
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert any("dask.array.from_zarr" in example for example in examples)
    checks = """
import numpy as np
whole = latents[:].astype("float64")
np.testing.assert_allclose(mean, whole.mean(axis=(0, 2, 3)), rtol=1e-5)
np.testing.assert_allclose(deviation, whole.std(axis=(0, 2, 3)), rtol=1e-5)
assert (pixels == 1).all() and some.shape == (3, 4, 8, 8)
np.save("first.npy", first)
"""
    done = subprocess.run([sys.executable, "-c", "\n".join([*examples, checks])], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    np.testing.assert_array_equal(np.load(tmp_path / "first.npy"), drawn[:16].astype(np.float32))
    np.testing.assert_array_equal(Rows(tmp_path / "results/latents/chest/kl.zarr").read(0, 16), drawn[:16])


def test_the_page_has_a_row_for_every_bound_of_every_section() -> None:
    demanded = {section: _bounds_of(section) for section in command.SECTIONS}
    table: dict[str, set[str]] = {section: set() for section in command.SECTIONS}
    cells = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines())
    for section, *_, bounds in (row for row in cells if len(row) == 5 and row[0] in table):
        table[section] |= {bound for bound in bounds.strip("| ").split(", ") if bound}
    assert table == demanded
    assert all(demanded[section] for section in demanded if section != "published")
    assert "no CUDA device" in PAGE


def _bounds_of(section: str) -> set[str]:
    named = vars(importlib.import_module(f"bench.{section}")).values()
    return {str(value) for value in named if isinstance(value, Bound)} - {""}


def test_a_bound_reads_as_it_is_demanded() -> None:
    assert [str(bound) for bound in (at_least(0.9), at_most(1e-12), FREE)] == [">= 0.9", "<= 1e-12", ""]
    assert Row("fast", 0.9, *at_least(0.9)).holds()
    assert not Row("slow", 0.91, *at_most(0.9)).holds()
