"""Part of stage tabulate: the page that shows the tables, with sample images, and the figures to copy."""

import argparse
import json
from pathlib import Path

import pandas as pd

from pipeline import exhibits, provenance
from pipeline.files import write_atomically, write_text
from pipeline.program import run
from pipeline.report import Exhibits, Further, claims, depth_png, figure_png, perclass, render
from pipeline.report.further import OPTIONAL
from pipeline.report.preference import choices, deciding
from pipeline.report.results import Results, read_gaps


def read_fidelity(path: Path) -> pd.DataFrame:
    """Read the table of fidelity by class; a class may be called "None" or "NA", and that of all samples is empty."""
    empty = {name: [""] for name in ("psnr", "ssim", "ms_ssim", "lpips")}
    return pd.read_csv(path, dtype={"class": str}, keep_default_na=False, na_values=empty)


def shown(results: Results, folder: Path, table: Path, config: str) -> Exhibits:
    """Return what the page shows beside tables.

    Args:
        results: the gap table.
        folder: of all results.
        table: the gap table's file.
        config: the configuration as JSON, without paths of the machine.
    """
    chosen = choices(results, folder / "scores") if results.heads else []
    worst = exhibits.worst(results, folder)
    wrong = exhibits.wrong(results, deciding(chosen), folder)
    return Exhibits(
        choices=chosen,
        remarks=[*worst, *wrong],
        classwise=perclass.read(results, folder / "scores"),
        origin=provenance.origin(json.loads(config), folder, results.datasets, table),
    )


def main() -> None:
    """Write the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--fidelity", type=Path, required=True, help="the table of fidelity by class")
    parser.add_argument("--claims", type=Path, required=True, help="the table of claims about the whole study")
    parser.add_argument("--results", type=Path, required=True, help="folder of the stores and of all other tables")
    parser.add_argument("--title", required=True)
    parser.add_argument("--config", required=True, help="the configuration as JSON, as it is shown")
    parser.add_argument("--more", nargs="*", choices=OPTIONAL, default=[], help="tables that this study has, too")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True, help="where the score is lost, with the first head")
    parser.add_argument("--depth", type=Path, required=True, help="where the decoder restores it, as a figure")
    arguments = parser.parse_args()
    folder: Path = arguments.results
    table, further = read_gaps(arguments.table), Further.read(folder, arguments.more)
    results = Results.read(table)
    data = {name: json.loads((folder / "index" / f"{name}.json").read_text()) for name in results.datasets}
    fidelity, found = read_fidelity(arguments.fidelity), claims.read(arguments.claims)
    beside = shown(results, folder, arguments.table, arguments.config)
    strips = list(exhibits.typical(results, folder))
    write_text(arguments.page, render(table, strips, arguments.title, data, fidelity, found, further, beside))
    head = next(iter(results.heads), "")
    write_atomically(arguments.figure, lambda path: figure_png(table, head, path))
    write_atomically(arguments.depth, lambda path: depth_png(table, further.profile, path))


if __name__ == "__main__":
    run(main)
