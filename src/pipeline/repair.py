"""Make again what is damaged, and nothing else, before a call does what it was called for.

Snakemake runs everything behind a job that runs, whatever that job makes: one flipped byte of a latent would train
every head again. So the first process of a call makes damaged files by calls of their own, with the options that it
was called with, one for each rule, in the order in which data flows. What comes out with the bytes that were recorded
gets its time back, too, so nothing behind it runs; what comes out otherwise makes everything behind it run, as any
changed file does.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, Self

from pipeline import ledger
from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.ledger import Entry
from pipeline.store import Manifest, shard_path
from pipeline.verify import DAMAGED, intact

STORES = ("images", "latents", "reconstructions")
IRREPLACEABLE = ("private/salt",)
"""What a rule makes that can never be made again as it was."""
PARENT = "LEARNABILITY_REPAIRED_BY"
"""Names the process that repairs, for the calls that it makes."""
OTHERWISE = (
    *("lint", "unlock", "summary", "detailed_summary", "report", "dag", "rulegraph", "filegraph", "d3dag", "archive"),
    *("list_changes", "list_input_changes", "list_params_changes", "list_untracked", "list_rules", "list_target_rules"),
    *("cleanup_metadata", "cleanup_shadow", "delete_all_output", "delete_temp_output", "generate_unit_tests", "touch"),
    *("containerize", "conda_cleanup_envs", "conda_create_envs_only", "list_conda_envs", "print_compilation"),
    *("container_cleanup_images", "export_cwl", "forceall"),
)
"""Options with which Snakemake runs no job, or every job."""


class Rule(Protocol):
    """What is asked of one of Snakemake's rules."""

    def is_producer(self, requested_output: str) -> bool:
        """Tell whether the rule makes a file."""
        ...


@dataclass(frozen=True)
class Times:
    """What files hold, and when they were made, in nanoseconds."""

    entries: dict[Path, Entry]
    made: dict[Path, int]

    @classmethod
    def now(cls, paths: Iterable[str]) -> Self:
        """Take down what ledgers state, which are written when their files are, and these files as they are beyond."""
        entries: dict[Path, Entry] = {}
        made: dict[Path, int] = {}
        for path in ledger.ledgers(Path()):
            with suppress(StudyError):
                stated = ledger.read(path)
                entries |= stated
                made |= dict.fromkeys([*stated, path], path.stat().st_mtime_ns)
        for path in map(Path, paths):
            if path not in entries and path.is_file():
                entries[path] = Entry(path.stat().st_size, sha256(path))
                made[path] = path.stat().st_mtime_ns
        return cls(entries, made)

    def give_back(self) -> None:
        """Give files that were made again and hold what they held their times, so that nothing runs because of them."""
        after = Times.now(())
        for path, entry in after.entries.items():
            if self.entries.get(path) == entry and self.made[path] != after.made[path]:
                for file in (path, ledger.ledger_of(path)):
                    if file.is_file():
                        os.utime(file, ns=(self.made[path], self.made[path]))


def within() -> bool:
    """Tell whether this process is a call that repairs; if so, it ends when its caller does."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return False
    if sys.platform == "linux":
        # Or it would go on, without the lock that its caller held, beside the next call.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the call that repairs has ended")
    return True


def lost_shards(results: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the shard files that are missing or not what their manifests say, each with its manifest.

    A shard is read only where its time of change is later than its manifest's: jobs write the manifest last.
    """
    for kind in STORES:
        for path in sorted((results / kind).glob("**/*.json")):
            if path.name == "zarr.json" or not path.stem.isdigit():
                continue
            shard = shard_path(path.parent.with_name(f"{path.parent.name}.zarr"), int(path.stem))
            if not _whole(shard, path):
                yield shard, path


def _whole(shard: Path, manifest: Path) -> bool:
    if not shard.is_file():
        return False
    try:
        recorded, status = Manifest.read(manifest), shard.stat()
    except StudyError:
        return False
    stated = Entry(recorded.bytes, recorded.sha256)
    if status.st_size == stated.bytes and status.st_mtime_ns <= manifest.stat().st_mtime_ns:
        return True
    return intact(shard, stated)


def damaged() -> dict[str, str]:
    """Return what has to be made again: lost shards, and what `pipeline.verify` has listed and is not whole.

    Each comes with the file that is to be asked for: itself, or one that is made with it.
    """
    lines = DAMAGED.read_text().splitlines() if DAMAGED.is_file() else []
    listed = dict(line.split("\t") for line in lines)
    recorded = Times.now(()).entries if listed else {}
    # A call that was killed may have made some of it.
    whole = {path for path in listed if Path(path) in recorded and intact(Path(path), recorded[Path(path)])}
    lost = [str(shard) for shard, _ in lost_shards(Path("results"))]
    return {path: target for path, target in listed.items() if path not in whole} | dict(zip(lost, lost, strict=True))


def repair(rules: Iterable[Rule], lock: int, arguments: Sequence[str]) -> None:
    """Make again what is damaged, if this is a call that runs jobs.

    Args:
        rules: of the workflow, in the order in which data flows.
        lock: descriptor of the lock that no second call may get while a repair goes on.
        arguments: of Snakemake's command line.

    Raises:
        StudyError: something cannot be made again.
    """
    waiting = damaged()
    if not waiting:
        DAMAGED.unlink(missing_ok=True)
        return
    asked, again = _command(list(arguments))
    if any(getattr(asked, option, None) not in (None, False) for option in OTHERWISE):
        return
    for targets in _by_rule(waiting, list(rules)):
        for path in (path for paths in targets.values() for path in paths):
            sys.stderr.write(f"{path} is missing or damaged; it is made again\n")
        times = Times.now(targets)
        if not asked.dryrun:
            for path in {*targets, *(path for paths in targets.values() for path in paths)}:
                Path(path).unlink(missing_ok=True)
        _call([*again, *targets], lock)
        times.give_back()
    if not asked.dryrun:
        DAMAGED.unlink(missing_ok=True)


def _by_rule(waiting: Mapping[str, str], rules: Sequence[Rule]) -> list[dict[str, list[str]]]:
    """Return for each rule, in the rules' order, what it has to be asked for, each with the files that are damaged.

    What no rule makes is named: it is another study's, or the user's own.

    Raises:
        StudyError: a file cannot be made again as it was.
    """
    if secret := [path for path in waiting if path in IRREPLACEABLE]:
        raise StudyError(f"{secret[0]} is damaged, and every identifier depends on it; bring it back from a copy")
    parts: list[dict[str, list[str]]] = [{} for _ in rules]
    for path, asked in sorted(waiting.items()):
        # What no rule declares was made beside something that one does.
        places = [(number, target) for target in [asked, *_beside(asked)] for number in _producers(target, rules)]
        if places:
            number, target = places[0]
            parts[number].setdefault(target, []).append(path)
        else:
            sys.stderr.write(f"{path} is missing or damaged, and no rule of this study makes it again\n")
    return [part for part in parts if part]


def _producers(path: str, rules: Sequence[Rule]) -> list[int]:
    return [number for number, rule in enumerate(rules) if rule.is_producer(path)]


def _beside(path: str) -> list[str]:
    """Return the files that were made by the job that made a file."""
    for place in ledger.ledgers(Path()):
        with suppress(StudyError):
            if Path(path) in (stated := ledger.read(place)):
                return [str(other) for other in stated]
    return []


def _command(arguments: list[str]) -> tuple[Any, list[str]]:
    """Return Snakemake's options, and its command line with everything but the targets.

    Raises:
        StudyError: the targets cannot be told from the values of options.
    """
    from snakemake.cli import parse_args

    end = arguments.index("--") if "--" in arguments else len(arguments)
    options, explicit = arguments[:end], arguments[end + 1 :]
    with redirect_stderr(StringIO()), suppress(SystemExit):
        _, asked = parse_args(arguments)
        for target in [*asked.targets][: len(asked.targets) - len(explicit)]:
            # The last of several: a target stands behind the option whose value it equals.
            if target in options:
                del options[len(options) - 1 - options[::-1].index(target)]
        _, again = parse_args([*options, "--", "results"])
        if _plain(asked) == _plain(again):
            return asked, [*options, "--"]
    raise StudyError("what is damaged cannot be made again by this command line; write its targets last, after --")


def _plain(asked: Any) -> dict[str, Any]:  # noqa: ANN401 - what argparse makes
    """Return the options that can be compared, without the targets."""
    kept = {key: value for key, value in vars(asked).items() if type(value).__module__ == "builtins"}
    return {key: value for key, value in kept.items() if key != "targets"}


def _call(arguments: list[str], lock: int) -> None:
    command, environment = [sys.executable, "-m", "snakemake", *arguments], {PARENT: str(os.getpid())}
    if subprocess.run(command, env=os.environ | environment, pass_fds=[lock]).returncode:
        raise StudyError("what is damaged could not be made again; the reason stands above")
