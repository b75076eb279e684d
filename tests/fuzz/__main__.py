"""Damage files, read them, and say what became of them: `python -m tests.fuzz --count 100000`.

Exit status 1 if a damaged file had no outcome, or one that must not be. `--only NUMBER` writes that file, for a look.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz import sources, trial
from tests.fuzz.trial import Result

GOOD = ("read", "refused by its header", "refused by its pixels", "crashed", "timed out", "too much memory")


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first damaged file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, help="write this damaged file into the current folder")
    arguments = parser.parse_args()
    beside = Path(os.environ.get("LEARNABILITY_SHARED", Path(__file__).parents[2].parent / "shared"))
    with trial.quick_folder() as temporary:
        folder = Path(temporary)
        sources.write(folder, beside if (beside / "data").is_dir() else None)
        if arguments.only is not None:
            name, data, spec = trial.make(folder, arguments.seed, arguments.only)
            Path(f"damaged-{arguments.seed}-{arguments.only}").write_bytes(data)
            print(f"made of {name}, read as {spec!r}: {trial.try_one(temporary, arguments.seed, arguments.only)}")
            return
        numbers = range(arguments.first, arguments.first + arguments.count)
        sys.exit(not _run(folder, arguments.seed, numbers, arguments.workers))


def _run(folder: Path, seed: int, numbers: range, workers: int) -> bool:
    """Print what became of every file, and return whether all is well."""
    start = time.monotonic()
    classes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    wrong: list[str] = []
    lost: list[str] = []
    for outcome in trial.trials(folder, seed, numbers, workers):
        result = trial.classified(outcome)
        classes[result.kind] += 1
        reasons[f"{result.kind}: {result.detail}"] += 1
        if result.kind in ("crashed", "timed out", "too much memory"):
            lost.append(f"{result.kind}: number {outcome.item}, made of {trial.make(folder, seed, outcome.item)[0]}")
        wrong += [f"number {outcome.item}: {complaint}" for complaint in complaints(result)]
    for reason, count in reasons.most_common():
        print(f"{count:8} {reason}")
    print("\n".join([*lost, *wrong]))
    print(f"{classes.total()} files in {time.monotonic() - start:.0f} s: {dict(classes.most_common())}")
    return not wrong and classes.total() == len(numbers)


def complaints(result: Result) -> list[str]:
    """Return what must not be about a result."""
    found = [] if result.kind in GOOD else [f"{result.kind}: {result.detail}"]
    said = result.warnings + ((result.detail,) if result.kind.startswith("refused") else ())
    return found + [f"not on the closed list: {text!r}" for text in said if not trial.is_safe(text)]


if __name__ == "__main__":
    main()
