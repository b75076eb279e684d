"""What is damaged is made again by calls of its own, and gets its time back where it holds what it held."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline import ledger, repair
from pipeline.errors import StudyError
from pipeline.files import write_text
from pipeline.store import Layout, lay_out, shard_path, write_shard
from pipeline.verify import DAMAGED


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def stored(kind: str = "latents/mine", names: tuple[str, ...] = ("identity",)) -> dict[int, tuple[Path, Path]]:
    """Write a store of three shards below results; return each shard and manifest."""
    made = {}
    for name in names:
        store = Path(f"results/{kind}/{name}.zarr")
        lay_out(store, Layout(6, (1, 4, 4), 3, "float32", {}))
        for shard in range(3):
            manifest = Path(f"results/{kind}/{name}/{shard}.json")
            values = np.random.default_rng(shard).random((2, 1, 4, 4), np.float32)
            write_shard(store, shard, values, {}).write(manifest)
            made[shard] = shard_path(store, shard), manifest
    return made


def lost() -> list[tuple[Path, Path]]:
    return list(repair.lost_shards(Path("results")))


def later(path: Path) -> None:
    """Give a file a time of change far later than any manifest's."""
    os.utime(path, ns=(2**61, 2**61))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    later(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("kind", ["latents/mine", "reconstructions/mine", "images"])
@pytest.mark.parametrize("harm", [Path.unlink, truncate, flip])
def test_a_lost_or_changed_shard_is_found(kind: str, harm: Callable[[Path], object]) -> None:
    made = stored(kind)
    assert lost() == []
    harm(made[1][0])
    assert lost() == [made[1]]


def test_a_touched_shard_is_not_lost() -> None:
    made = stored()
    for shard, _ in made.values():
        later(shard)
    assert lost() == []


def test_only_shards_that_changed_later_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made, read = stored(), list[Path]()
    monkeypatch.setattr(repair, "intact", lambda path, _: bool(read.append(path)))
    lost()
    assert read == []
    later(made[2][0])
    assert lost() == [made[2]]
    assert read == [made[2][0]]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"start": 0}'])
def test_a_damaged_manifest_loses_its_shard_and_not_the_call(content: str) -> None:
    made = stored()
    made[0][1].write_text(content)
    assert lost() == [made[0]]


def test_other_files_in_results_are_left_alone() -> None:
    stored()
    for name in ("results/latents/notes.json", "results/latents/mine/identity/x1.json", "results/scores/0.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("no manifest")
    assert lost() == []


class Making:
    """A rule that makes files below a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def is_producer(self, requested_output: str) -> bool:
        return requested_output.startswith(f"{self.folder}/")


RULES = [Making("results/latents"), Making("results/scores"), Making("private/salt")]


class Calls(list[list[str]]):
    """Stands for Snakemake: makes every target, and remembers what it was called with."""

    def __init__(self, content: str = "as it was") -> None:
        self.content = content

    def __call__(self, arguments: list[str], _: int) -> None:
        self.append(arguments)
        for target in arguments[arguments.index("--") + 1 :]:
            assert not Path(target).exists()
            write_text(Path(target), self.content)
            ledger.record([Path(target)])


def made(*names: str) -> None:
    """Make files long ago, with their ledgers."""
    for name in names:
        write_text(Path(name), "as it was")
        ledger.record([Path(name)])
        for path in (Path(name), ledger.ledger_of(Path(name))):
            os.utime(path, ns=(10**18, 10**18))


def listed(*names: str) -> None:
    write_text(DAMAGED, "".join(f"{name}\t{name}\n" for name in names))


def repaired(monkeypatch: pytest.MonkeyPatch, calls: Calls, *arguments: str) -> Calls:
    monkeypatch.setattr(repair, "_call", calls)
    repair.repair(RULES, 0, list(arguments))
    return calls


OPTIONS = ("--cores", "2", "--quiet")


def test_what_is_damaged_is_made_rule_by_rule_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made("results/scores/gap.csv", "results/latents/a.json", "results/latents/b.json", "results/latents/c.json")
    for name in ("results/scores/gap.csv", "results/latents/a.json"):
        Path(name).write_text("damaged")
    Path("results/latents/c.json").unlink()
    listed("results/scores/gap.csv", "results/latents/c.json", "results/latents/a.json")
    calls = repaired(monkeypatch, Calls(), *OPTIONS, "--", "results/gap_table.csv")
    first = [*OPTIONS, "--", "results/latents/a.json", "results/latents/c.json"]
    assert calls == [first, [*OPTIONS, "--", "results/scores/gap.csv"]]
    assert not DAMAGED.exists()
    assert repaired(monkeypatch, Calls(), *OPTIONS, "--", "results/gap_table.csv") == []


@pytest.mark.parametrize("content", ["as it was", "something else"])
def test_what_comes_out_as_it_was_gets_its_time_back(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    made("results/latents/a.json")
    Path("results/latents/a.json").write_text("damaged")
    listed("results/latents/a.json")
    repaired(monkeypatch, Calls(content), *OPTIONS)
    times = {path.stat().st_mtime_ns for path in Path("results/latents").iterdir()}
    assert (times == {10**18}) == (content == "as it was")


def test_a_file_without_a_ledger_is_made_again_and_compared_with_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    made("results/latents/a.json")
    ledger.ledger_of(Path("results/latents/a.json")).unlink()
    listed("results/latents/a.json")
    repaired(monkeypatch, Calls(), *OPTIONS)
    assert Path("results/latents/a.json").stat().st_mtime_ns == 10**18


def test_what_was_made_again_before_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made("results/latents/a.json")
    listed("results/latents/a.json")
    assert repaired(monkeypatch, Calls(), *OPTIONS) == []
    assert not DAMAGED.exists()


@pytest.mark.parametrize("option", ["--lint", "--unlock", "--summary", "--forceall", "--touch", "--rulegraph"])
def test_a_call_that_runs_no_job_repairs_nothing(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    made("results/latents/a.json")
    Path("results/latents/a.json").unlink()
    listed("results/latents/a.json")
    assert repaired(monkeypatch, Calls(), *OPTIONS, option) == []
    assert DAMAGED.exists()


def test_a_dry_run_removes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made("results/latents/a.json")
    Path("results/latents/a.json").write_text("damaged")
    listed("results/latents/a.json")
    seen: list[list[str]] = []
    monkeypatch.setattr(repair, "_call", lambda arguments, _: seen.append(arguments))
    repair.repair(RULES, 0, ["-n", *OPTIONS, "--", "results/gap_table.csv"])
    assert seen == [["-n", *OPTIONS, "--", "results/latents/a.json"]]
    assert Path("results/latents/a.json").read_text() == "damaged"
    assert DAMAGED.exists()


def test_the_secret_is_never_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made("private/salt", "results/latents/a.json")
    for name in ("private/salt", "results/latents/a.json"):
        Path(name).write_text("damaged")
    listed("private/salt", "results/latents/a.json")
    with pytest.raises(StudyError, match="private/salt is damaged, and every identifier depends on it"):
        repaired(monkeypatch, Calls(), *OPTIONS)
    assert {Path(name).read_text() for name in ("private/salt", "results/latents/a.json")} == {"damaged"}


def test_what_no_rule_makes_is_named_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made("results/notes.txt", "results/latents/a.json")
    for name in ("results/notes.txt", "results/latents/a.json"):
        Path(name).write_text("damaged")
    listed("results/latents/a.json", "results/notes.txt")
    assert len(repaired(monkeypatch, Calls(), *OPTIONS)) == 1
    assert Path("results/notes.txt").read_text() == "damaged"
    assert "results/notes.txt is missing or damaged, and no rule" in capsys.readouterr().err


def test_what_a_job_makes_beside_its_outputs_is_made_by_making_those(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("private/mine.headers.parquet", "results/latents/a.json"):
        write_text(Path(name), "as it was")
    ledger.record([Path("private/mine.headers.parquet"), Path("results/latents/a.json")])
    Path("private/mine.headers.parquet").write_text("damaged")
    listed("private/mine.headers.parquet")
    assert repaired(monkeypatch, Calls(), *OPTIONS) == [[*OPTIONS, "--", "results/latents/a.json"]]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--cores", "2", "a.csv"], ["--cores", "2"]),
        (["a.csv", "--cores", "2"], ["--cores", "2"]),
        (["--cores", "2", "a.csv", "b.csv", "--quiet", "rules"], ["--cores", "2", "--quiet", "rules"]),
        (["--cores", "2", "--configfile", "a.csv", "--", "a.csv"], ["--cores", "2", "--configfile", "a.csv"]),
        (["--until", "a", "--cores", "2", "a"], ["--until", "a", "--cores", "2"]),
        ([], []),
    ],
)
def test_a_command_line_is_repeated_without_its_targets(arguments: list[str], options: list[str]) -> None:
    asked, again = repair._command(arguments)
    assert again == [*options, "--"]
    assert list(asked.targets) == [argument for argument in ("a.csv", "b.csv", "a") if argument in asked.targets]


def test_a_target_that_cannot_be_told_from_an_option_is_refused() -> None:
    with pytest.raises(StudyError, match="write its targets last, after --"):
        repair._command(["a.csv", "--cores", "2", "--configfile", "a.csv"])
