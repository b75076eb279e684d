"""What is said of a data set in its log and in the report: how much of it is used, and what a person should look at."""

from collections.abc import Mapping
from typing import Any

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
    found = [
        f"{summary['samples']:,} samples of {summary['patients']:,} patients; {refused} of {files:,} files refused."
    ]
    if refused > ATTENTION * files:
        found.append(f"{refused / files:.0%} of the files are refused: read the reasons before you trust a result.")
    found += [f"Refused ({count}): {reason}." for reason, count in summary["refused"].items()]
    if summary["duplicates"]:
        found.append(
            f"{summary['duplicates']} samples have the same pixels as an earlier one; {summary['merged_patients']} "
            "patients share an image with another patient, and therefore a fold."
        )
    found += [f"{note}." for note in summary["notes"]]
    return found + _of_labels(summary) + [f"{count} files: {text}." for text, count in summary["warnings"].items()]


def _of_labels(summary: Mapping[str, Any]) -> list[str]:
    if "task" not in summary:
        return ["No labels: only reconstructions are measured."]
    positive = ", ".join(f"{name} {count}" for name, count in summary["positive"].items())
    found = [f"{str(summary['task']).capitalize()}, split by {summary['split']}. Samples of each class: {positive}."]
    if summary["unlabelled"]:
        found.append(f"{summary['unlabelled']} samples are unlabelled: they are encoded, and no head sees them.")
    if summary["dropped"]:
        found.append(f"{summary['dropped']} samples dropped: their patient or image is on another side of the split.")
    if summary["contradictions"]:
        found.append(f"{summary['contradictions']} images occur more than once with different labels.")
    return found
