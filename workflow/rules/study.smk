"""The study's configuration, and the functions with which every rule asks about it."""

import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from pipeline import families, launch, sources
from pipeline.errors import StudyError
from pipeline.study import Study

# A file given by --configfile replaces the default study; merged into it, it would run both.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# The source of this checkout, whatever else is installed: a frozen work tree must run its own code.
shell.prefix(f"set -euo pipefail; export PYTHONPATH={str(Path(workflow.basedir) / 'src')!r}; ")

try:
    study = Study(config)
    if workflow.is_main_process:
        launch.prepare(study)
except StudyError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    dataset="|".join(study.datasets),
    autoencoder="|".join(study.autoencoders),
    head="|".join(study.heads),
    benchmark="|".join(study.benchmarks) or "(?!)",
    shard="[0-9]+",


def code(*modules):
    """Return the source files that a rule runs, relative to where it runs: inputs, compared by content."""
    return [os.path.relpath(path) for path in sources.files(*modules)]


def shards(pattern, **names):
    """Return one file for each shard of a data set's store."""
    return expand(pattern, shard=range(study.datasets[names["dataset"]].shards), **names)


def family(kind, entry):
    """Return the module of an entry's family."""
    return families.module_name(kind, entry.family)
