"""The command line around a study: one module for each helper, each with `options` and `perform`."""

import argparse
import ast
import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import StudyError
from pipeline.program import TRACEBACK, run
from pipeline.sources import SOURCE

HELPERS = {
    "doctor": "say whether the environment, the machine and the study's files are in order, and the cure where not",
    "explain": "say what would run and why, before anything runs",
    "inspect": "describe a store of images, latents or reconstructions, and draw a contact sheet of it",
    "compare": "say whether the gap changed between two studies",
}
"""What each helper does; its module is `pipeline.commands.<name>`."""
GUARD = 'if __name__ == "__main__"'


def stages() -> dict[str, str]:
    """Return the programs that the rules call, each with the sentence that its module begins with."""
    found = {}
    for path in sorted((SOURCE / "pipeline").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if GUARD in text:
            sentence = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
            found[path.stem] = sentence.removeprefix(f"Stage {path.stem}: ")
    return found


def parser() -> argparse.ArgumentParser:
    """Return the options of all helpers; the help lists the stages, too."""
    width = max(map(len, stages()))
    listed = "\n".join(f"  {name:{width}}  {sentence}" for name, sentence in stages().items())
    root = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Helpers around a study. A study itself is run by: snakemake results/gap_table.csv",
        epilog=f"stages, which the workflow calls (python -m pipeline.<stage> --help):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--traceback", action="store_true", help=f"show where an error came from (as {TRACEBACK}=1 does)")
    helpers = root.add_subparsers(dest="helper", required=True, metavar="helper", title="helpers")
    for name, sentence in HELPERS.items():
        options = helpers.add_parser(name, help=sentence, description=sentence[0].upper() + sentence[1:] + ".")
        importlib.import_module(f"{__name__}.{name}").options(options)
    return root


def main(words: Sequence[str] | None = None) -> None:
    """Perform one helper; its exit status is 1 where something is wrong."""
    asked = parser().parse_args(words)
    if asked.traceback:
        os.environ[TRACEBACK] = "1"
    run(lambda: importlib.import_module(f"{__name__}.{asked.helper}").perform(asked))


def require_checkout() -> None:
    """Raise StudyError unless this folder is the checkout that this program belongs to.

    Another checkout's program would look at this study with other code than the study's own jobs run.
    """
    if not Path("Snakefile").is_file():
        raise StudyError("there is no Snakefile in this folder; call this in the checkout that the study is run in")
    if Path("src").resolve() != SOURCE.resolve():
        raise StudyError(f"this is the program of {SOURCE.parent}; call it as: PYTHONPATH=src python -m pipeline ...")
