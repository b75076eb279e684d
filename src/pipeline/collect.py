"""Part of stage tabulate: the tables of data sets, or of cells, below one another."""

import argparse
import json
from pathlib import Path

from pipeline.files import write_text
from pipeline.program import run

NOTHING = "dataset,autoencoder,head\n"
"""The table of a study whose data sets have no labels, so that no head is evaluated."""


def collect(tables: list[str]) -> str:
    """Join tables with the same header, as text, so that no number is rounded a second time."""
    headers = {table.partition("\n")[0] for table in tables}
    if len(headers) != 1:
        raise ValueError("the tables that are to be joined have different columns")
    return headers.pop() + "\n" + "".join(table.partition("\n")[2] for table in tables)


def files(cells: dict[str, dict[str, list[str]]], scores: Path, name: str) -> list[Path]:
    """Return the files of this name of all cells, by data set, autoencoder and head.

    Args:
        cells: by data set and head the autoencoders.
        scores: the folder of stage evaluate.
        name: of the files.
    """
    keys = [
        (dataset, autoencoder, head)
        for dataset, entry in cells.items()
        for autoencoder in dict.fromkeys(each for autoencoders in entry.values() for each in autoencoders)
        for head, autoencoders in entry.items()
        if autoencoder in autoencoders
    ]
    return [scores / dataset / autoencoder / head / name for dataset, autoencoder, head in keys]


def main() -> None:
    """Write the study's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", help="the tables to join")
    parser.add_argument("--cells", help="in their place: a JSON object, by data set and head the autoencoders")
    parser.add_argument("--scores", type=Path, help="the folder of stage evaluate, with --cells")
    parser.add_argument("--table", type=Path, required=True)
    arguments = parser.parse_args()
    tables = arguments.tables or files(json.loads(arguments.cells), arguments.scores, arguments.table.name)
    write_text(arguments.table, collect([path.read_text() for path in tables]) if tables else NOTHING)


if __name__ == "__main__":
    run(main)
