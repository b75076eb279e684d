"""Where a study comes from: what is needed to cite it, to trust it and to repeat it."""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from pipeline.report import text
from pipeline.report.results import unique
from pipeline.report.tables import Cell, name_cell, number, table


@dataclass(frozen=True)
class Weights:
    """One weight file that latents were made with; empty texts are not known."""

    autoencoder: str
    family: str
    sha256: str
    file: str
    source: str
    revision: str
    licence: str


@dataclass(frozen=True)
class Fold:
    """What is in one fold: usable samples, patients, and how many samples have each class."""

    name: str
    samples: int
    patients: int
    classes: Mapping[str, int]


@dataclass(frozen=True)
class Check:
    """What was counted, and whether that is as it should be."""

    what: str
    count: int
    passed: bool


@dataclass(frozen=True)
class Origin:
    """Everything about where a study comes from.

    Attributes:
        config: as it was written, without paths of the machine.
        software: version by name.
        tables: SHA-256 by the name of the table.
        weights: of all autoencoders.
        folds: by data set.
        checks: by data set.
    """

    config: Mapping[str, object]
    software: Mapping[str, str]
    tables: Mapping[str, str]
    weights: tuple[Weights, ...]
    folds: Mapping[str, tuple[Fold, ...]]
    checks: Mapping[str, tuple[Check, ...]]


def section(origin: Origin | None) -> str:
    """Return the section; nothing where nothing is known."""
    if origin is None:
        return ""
    return (
        f"<h2>Where this comes from</h2>\n{_repeat(origin)}{_checks(origin)}{_folds(origin)}{_weights(origin)}"
        f"{_software(origin)}<details><summary>Configuration</summary>\n<p>As it was written; paths of the machine are "
        f"not shown.</p>\n<pre>{text.html(written(origin.config))}</pre></details>\n"
    )


def written(config: Mapping[str, object]) -> str:
    """Return a configuration as YAML."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)


def _repeat(origin: Origin) -> str:
    hashes = "".join(
        f"<li><code>results/{text.html(name)}</code>: SHA-256 <code>{found}</code></li>\n"
        for name, found in origin.tables.items()
    )
    return (
        "<p>To cite this study, state the commit of the workflow, the hash of its table and the weights below. To "
        "repeat it, put the configuration below into a file, with the paths of your machine, and call <code>snakemake "
        f"--cores all --configfile &lt;file&gt; results/report.html</code> at that commit.</p>\n<ul>\n{hashes}</ul>\n"
    )


def _checks(origin: Origin) -> str:
    found = {name: {check.what: check for check in each} for name, each in origin.checks.items()}
    named = unique(what for each in found.values() for what in each)
    lines = [(False, [name_cell(what), *(_verdict(each.get(what)) for each in found.values())]) for what in named]
    caption = "Checks against leakage, counted again when this page was made. Bold: look at this."
    return table(caption, ["what", *map(text.html, found)], [("how many", lines)], datasets=())


def _verdict(check: Check | None) -> Cell:
    if check is None:
        return text.MISSING, ""
    content, key = number(check.count)
    return (content if check.passed else f"<b>{content}: look at this</b>"), key


def _folds(origin: Origin) -> str:
    parts = ""
    for dataset, found in origin.folds.items():
        classes = unique(name for fold in found for name in fold.classes)
        counts = {
            "samples": [fold.samples for fold in found],
            "patients": [fold.patients for fold in found],
            **{f"samples: {name}": [fold.classes[name] for fold in found] for name in classes},
        }
        # Classes below one another: there may be too many for a sheet of paper, and folds are few.
        lines = [(False, [name_cell(what), *map(number, of_folds)]) for what, of_folds in counts.items()]
        headers = ["what", *(text.html(fold.name) for fold in found)]
        parts += table("Usable samples, their patients and their classes in each fold.", headers, [(dataset, lines)])
    return f"<details><summary>Folds</summary>\n{parts}</details>\n"


def _weights(origin: Origin) -> str:
    if not origin.weights:
        return ""
    headers = ["autoencoder", "family", "file", "from", "revision", "licence", "SHA-256"]
    lines = [
        (
            False,
            [
                *(
                    name_cell(name)
                    for name in (each.autoencoder, each.family, each.file or "not in the table of weights")
                ),
                *(name_cell(name or text.MISSING) for name in (each.source, each.revision, each.licence)),
                (f"<code>{each.sha256}</code>", each.sha256),
            ],
        )
        for each in origin.weights
    ]
    caption = (
        "Weights that latents were made with, by the hashes in their manifests. Each member of a fine-tuned "
        "autoencoder has its own."
    )
    body = table(caption, headers, [("all data sets", lines)], datasets=())
    return f"<details><summary>Weights</summary>\n{body}</details>\n"


def _software(origin: Origin) -> str:
    items = "".join(f"<li>{text.html(name)}: {text.html(found)}</li>\n" for name, found in origin.software.items())
    about = "Versions where this page was made, which need not be those that made every artifact."
    return f"<details><summary>Software</summary>\n<p>{about}</p>\n<ul>\n{items}</ul></details>\n"
