"""Draw the secret with which identifiers are hashed."""

import argparse
import secrets
from pathlib import Path

from pipeline.files import write_text
from pipeline.program import run


def main() -> None:
    """Draw a secret."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    write_text(parser.parse_args().output, f"{secrets.token_hex(32)}\n")


if __name__ == "__main__":
    run(main)
