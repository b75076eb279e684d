"""Samples that a person should look at: the worst reconstructions, and the errors that a head is surest of."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report import text
from pipeline.report.gallery import Column, Gallery, Values, fitted, html
from pipeline.report.results import unique
from pipeline.report.strips import Strip, checked, compared

BUDGET = 1_800_000
"""Characters that all these tiles may take together."""
INTRODUCTION = (
    "<p>The worst reconstruction is that with the largest mean squared error among all samples. An error is the surer "
    "the more probable the head holds what the label denies; classes and probabilities are those of the head and "
    "autoencoder that the answer above rests on, of samples that it was not trained on. A wrong label looks like a "
    "sure error, too. Samples are named by salted hashes: <code>private/&lt;dataset&gt;.mapping.csv</code>, which "
    "stays with you, says which files they are.</p>\n"
)


@dataclass(frozen=True)
class Remark:
    """One sample, what it is shown for together with others, and what is said above it, in plain text."""

    title: str
    strip: Strip
    said: tuple[str, ...]


def section(remarks: Sequence[Remark]) -> str:
    """Return the samples by data set and title; nothing without any.

    Raises:
        StudyError: a sample cannot be shown truthfully.
    """
    datasets = unique(remark.strip.dataset for remark in remarks)
    body, _ = fitted(lambda side: "".join(_dataset(name, remarks, side) for name in datasets), BUDGET)
    return f"<h2>Samples to look at</h2>\n{INTRODUCTION}{body}" if remarks else ""


def _dataset(dataset: str, remarks: Sequence[Remark], side: int) -> str:
    tables = ""
    of_dataset = [remark for remark in remarks if remark.strip.dataset == dataset]
    for title in unique(remark.title for remark in of_dataset):
        mine = [_column(remark) for remark in of_dataset if remark.title == title]
        tables += html(Gallery(dataset, title, mine), side)
    state = " open" if dataset == remarks[0].strip.dataset else ""
    return f"<details{state}{text.of(dataset)}><summary>{text.html(dataset)}</summary>\n{tables}</details>\n"


def _column(remark: Remark) -> Column:
    strip = checked(remark.strip)
    cells: dict[str, Values | str] = {"image": strip.image, **compared(strip)}
    return Column(remark.said, cells)
