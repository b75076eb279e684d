"""What is said of a data set in its log and in the report: how much of it is used, and what a person should look at.

Stage `index` does not import this: another wording is no reason to index a data set and train all heads again.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.program import run

ATTENTION = 0.05
"""Share of refused files from which it is said that they are many."""


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each thing worth knowing of a data set.

    Args:
        summary: what stage `index` found: `samples`, `patients`, `files`, `refused` and `warnings` (text to count),
            `notes`, `duplicates`, `merged_patients`, and for labelled data `task`, `split`, `unlabelled`, `dropped`,
            `positive`, `contradictions`.
    """
    refused, files = sum(summary["refused"].values()), summary["files"]
    samples, patients = counted(summary["samples"], "sample"), counted(summary["patients"], "patient")
    found = [f"{samples} of {patients}; {refused} of {counted(files, 'file')} refused."]
    if refused > ATTENTION * files:
        found.append(f"{refused / files:.0%} of the files are refused: read the reasons before you trust a result.")
    found += [f"Refused ({count}): {reason}." for reason, count in summary["refused"].items()]
    if summary["duplicates"]:
        found.append(
            f"With the same pixels as an earlier one: {counted(summary['duplicates'], 'sample')}; "
            f"who share an image with another, and therefore a fold: {counted(summary['merged_patients'], 'patient')}."
        )
    found += [f"{note}." for note in summary["notes"]]
    return (
        found
        + _of_labels(summary)
        + [f"{counted(count, 'file')}: {text}." for text, count in summary["warnings"].items()]
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 patient`, `1,202 patients`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _of_labels(summary: Mapping[str, Any]) -> list[str]:
    if "task" not in summary:
        return ["No labels: only reconstructions are measured."]
    positive = ", ".join(f"{name} {count}" for name, count in summary["positive"].items())
    found = [f"{str(summary['task']).capitalize()}, split by {summary['split']}. Samples of each class: {positive}."]
    if summary["unlabelled"]:
        found.append(f"Unlabelled, encoded and seen by no head: {counted(summary['unlabelled'], 'sample')}.")
    if summary["dropped"]:
        dropped = counted(summary["dropped"], "sample")
        found.append(f"Dropped, since their patient or image is on another side of the split: {dropped}.")
    if summary["contradictions"]:
        found.append(f"More than once, with different labels: {counted(summary['contradictions'], 'image')}.")
    return found


def main() -> None:
    """Say in the log what stage `index` found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, required=True)
    arguments = parser.parse_args()
    sys.stderr.write("\n".join(sentences(json.loads(arguments.summary.read_text()))) + "\n")


if __name__ == "__main__":
    run(main)
