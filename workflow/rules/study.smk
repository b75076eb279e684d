"""The study's configuration, and the functions with which every rule asks about it."""

import functools
import gc
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path

import snakemake.common
import snakemake.rules
from snakemake.exceptions import WorkflowError

# The source of this checkout, whatever else is installed: a frozen work tree must run its own code. It lies beside this
# file and not beside the first one, which is another workflow's where this one is its module.
SOURCE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent.parent / "src"
if not SOURCE.is_dir():
    raise WorkflowError(
        "the package beside the rules cannot be loaded from a network; clone the repository, and name its Snakefile"
    )
# Programs name the folders of results themselves, too: rules with a prefix would look for files where no program puts them.
if workflow.modifier.path_modifier.prefix or workflow.modifier.path_modifier.modifies_prefixes:
    raise WorkflowError("this workflow keeps its files in results, private and logs; leave out the module's 'prefix'")

sys.path.insert(0, str(SOURCE))

from pipeline import launch, repair
from pipeline.errors import StudyError
from pipeline.plan import Plan
from pipeline.program import told
from pipeline.study import Study
from pipeline.weights import Table

# A plan is hundreds of thousands of objects that stay until the end. To look at all of them again and again for some that
# could be freed takes a quarter of the time that planning takes, and frees nothing.
gc.set_threshold(200_000, 20, 20)

# Snakemake finds out again for every job which parameters each function of its rule has, an eighth of what planning takes.
parameters = functools.cache(snakemake.common.get_function_params)
snakemake.common.get_function_params = snakemake.rules.get_function_params = parameters

# A file given by --configfile replaces the default study; merged into it, it would run both.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


class shell(shell):
    """The shell of these rules: its prefix is not that of another workflow's, where these rules are its module."""


# No job uses the network, except for the rule fetch, which says so.
shell.prefix(f"set -euo pipefail; export HF_HUB_OFFLINE=1 PYTHONPATH={str(SOURCE)!r}; ")

try:
    study = Study(config)
    published = Table.read().sources()
    first = workflow.is_main_process and (repair.within() or launch.prepare(study))
except StudyError as error:
    raise WorkflowError(told(error)) from None

plan = Plan(study, first)

# The one switch: `gpu` among the `resources` of a profile or a call. Jobs that can use an accelerator then ask for one.
accelerators = workflow.global_resources.get("gpu").value or 0


wildcard_constraints:
    dataset="|".join(study.datasets),
    autoencoder="|".join({**study.autoencoders, **dict.fromkeys(study.stores())}),
    head="|".join(study.heads),
    denoiser="|".join(study.denoisers) or "(?!)",
    benchmark="|".join(study.benchmarks) or "(?!)",
    shard="[0-9]+",


def store(kind):
    """Return a parameter: the folder of the store whose metadata is the input or output of that name."""
    return lambda wildcards, input, output: os.path.dirname((dict(output.items()) | dict(input.items()))[kind])


def optional(option, values):
    """Return an option of a command line with its values, or nothing where there are none."""
    return f"--{option} {' '.join(map(shlex.quote, map(str, values)))}" if values else ""


def bundle(named):
    """Return the group of a rule's jobs: those of one name are one batch job, connected by files or not.

    There is none where the profile joins nothing: on one machine groups serve nothing, and to look at them again and again
    is a third of what planning costs.
    """

    def group(wildcards):
        if not workflow.group_settings.group_components:
            return None
        name = named(wildcards)
        # As Snakemake notes it for a group whose name has wildcards: what `group-components` of a profile calls it.
        workflow.parent_groupids[name] = name.split(".")[0]
        return name

    return group


onstart:
    # Every scheduling round of Snakemake plants a timer that starts another round, for the sake of a rate limit that is
    # far out of reach here. So rounds multiply with every job that ends (Snakemake's issue 2967), and after some hundred
    # jobs the scheduler keeps a processor busy. Without the limit there are no timers.
    workflow.scheduler.job_rate_limiter = None
    # Snakemake's own answer to SIGTERM waits for a lock that the interrupted thread may hold: while jobs are selected, a
    # call that is told to end would hang forever. Another thread can wait for it.
    if threading.current_thread() is threading.main_thread():
        ending = workflow.scheduler.exit_gracefully
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=ending).start())
