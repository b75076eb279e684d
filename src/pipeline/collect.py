"""Part of stage tabulate: the data sets' tables below one another."""

import argparse
from pathlib import Path

from pipeline.files import write_text
from pipeline.program import run


def collect(tables: list[str]) -> str:
    """Join tables with the same header, as text, so that no number is rounded a second time."""
    headers = {table.partition("\n")[0] for table in tables}
    if len(headers) != 1:
        raise ValueError("the data sets' tables have different columns")
    return headers.pop() + "\n" + "".join(table.partition("\n")[2] for table in tables)


def main() -> None:
    """Write the study's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True)
    parser.add_argument("--table", type=Path, required=True)
    arguments = parser.parse_args()
    write_text(arguments.table, collect([path.read_text() for path in arguments.tables]))


if __name__ == "__main__":
    run(main)
