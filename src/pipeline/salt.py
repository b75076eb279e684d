"""Draw the secret with which identifiers are hashed; one that is there already is kept, and recorded again."""

import argparse
import secrets
from pathlib import Path

from pipeline.files import note, write_text
from pipeline.program import run


def main() -> None:
    """Draw a secret, unless there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    if output.is_file():
        note(output)
    else:
        write_text(output, f"{secrets.token_hex(32)}\n")


if __name__ == "__main__":
    run(main)
