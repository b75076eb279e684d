"""Take a file over, or a line of it, so that the copy is recorded and lasts as what other programs make does."""

import argparse
from pathlib import Path

from pipeline.errors import StudyError
from pipeline.files import write_text
from pipeline.program import run


def main() -> None:
    """Copy a text file, or the lines of it whose first word is the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--first-word", help="take the lines that begin with it; unsaid, all")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    word, lines = arguments.first_word, arguments.file.read_text().splitlines(keepends=True)
    taken = [line for line in lines if word is None or line.split(maxsplit=1)[:1] == [word]]
    if not taken:
        raise StudyError(
            f"{arguments.file} has no line {word or 'at all'}; delete it, and the next call makes it again"
        )
    write_text(arguments.output, "".join(taken))


if __name__ == "__main__":
    run(main)
