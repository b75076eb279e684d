"""What would run and why: Snakemake's own plan, in the words of the configuration."""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.commands import require_checkout
from pipeline.commands.causes import FOLLOWS, Causes
from pipeline.errors import StudyError
from pipeline.summary import counted

UNITS = {
    "synthesize": "benchmark",
    "inspect": "data set",
    "index": "data set",
    "tabulate": "data set",
    "lay_out_images": "store",
    "lay_out_view": "store",
    "lay_out_latents": "store",
    "lay_out_reconstructions": "store",
    "normalize": "shard",
    "augment": "shard",
    "encode": "shard",
    "decode": "shard",
    "measure": "shard",
    "embed": "shard",
    "finetune": "autoencoder",
    "standardize": "autoencoder",
    "describe": "autoencoder",
    "train": "trained head",
    "evaluate": "comparison",
    "cost": "head",
}
"""What one job of a rule makes; of any other rule it is a job."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the helper's options."""
    parser.add_argument("targets", nargs="*", help="files or rules; none: all tables and the page")
    parser.add_argument("--configfile", type=Path, help="your study, as for snakemake; unsaid: the default study")
    parser.add_argument("--jobs", action="store_true", help="also list each job with what it would make")


def perform(asked: argparse.Namespace) -> None:
    """Print one sentence for each stage of which anything would run."""
    require_checkout()
    planned, total = plan(asked.targets, asked.configfile)
    print("\n".join([*sentences(planned, total), *advice(planned, _words(asked.targets, asked.configfile))]))
    if asked.jobs:
        print("\n".join(f"  {job.rule}: {job.output}: {job.why}" for job in planned))


@dataclass(frozen=True)
class Job:
    """One job that would run.

    Attributes:
        rule: its name.
        output: the first file that it makes; empty for a rule that makes none.
        why: the cause, as half a sentence.
        first: whether nothing that it is made from would be made again.
    """

    rule: str
    output: str
    why: str
    first: bool = True


def plan(targets: Sequence[str], configfile: Path | None) -> tuple[list[Job], Counter[str]]:
    """Ask Snakemake what would run.

    Returns:
        The jobs that would run in the order of the rules, and how many jobs each rule has in all.

    Raises:
        StudyError: the configuration or a target is wrong; the message is that of a real call.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    if configfile:
        _require_text(configfile)
    # Snakemake then ends with the plan, and does not pretend to run it.
    output = OutputSettings(
        dryrun=True, quiet={Quietness.RULES, Quietness.PROGRESS}, log_level_override=logging.CRITICAL
    )
    with SnakemakeApi(output) as api, called_as(_dry_run(targets, configfile)):
        try:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[configfile] if configfile else []),
            )
            graph = workflow.dag(DAGSettings(targets=set(targets), force_incomplete=True))
            graph.execute_workflow(executor="dryrun")
        except (WorkflowError, RuleException) as error:
            raise StudyError(" ".join(str(error).split())) from None
        # The plan itself is not among what the programming interface shows; the version is pinned, and tests compare.
        return _read(workflow._workflow.dag)


def _require_text(configfile: Path) -> None:
    try:
        configfile.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"there is no file {configfile}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{configfile} cannot be read: {error}") from None


@contextmanager
def called_as(words: list[str]) -> Iterator[None]:
    """Let the workflow see another command line: what it does may depend on whether the call is a dry run."""
    before = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before


def _dry_run(targets: Sequence[str], configfile: Path | None) -> list[str]:
    return ["snakemake", "--dry-run", *_words(targets, configfile)]


def _words(targets: Sequence[str], configfile: Path | None) -> list[str]:
    return [*(["--configfile", str(configfile)] if configfile else []), *(["--", *targets] if targets else [])]


def _read(graph: Any) -> tuple[list[Job], Counter[str]]:  # noqa: ANN401 - Snakemake has no types
    total = Counter(job.rule.name for job in graph.jobs)
    order = {rule.name: place for place, rule in enumerate(graph.workflow.rules)}
    causes = Causes(graph)
    found = [
        Job(
            job.rule.name,
            str(next(iter(job.output), "")),
            causes.of(job),
            not any(map(graph.needrun, graph.dependencies[job])),
        )
        for job in graph.needrun_jobs(exclude_finished=False)
    ]
    return sorted(found, key=lambda job: (order[job.rule], job.output)), total


def sentences(planned: list[Job], total: Counter[str]) -> list[str]:
    """Return what would run: a sentence for the whole, then one for each rule, its causes by their frequency."""
    if not planned:
        return [f"Nothing would run: all of {counted(sum(total.values()), 'job')} are up to date."]
    lines = [f"{counted(len(planned), 'job')} of {sum(total.values())} would run; nothing has been started."]
    for rule in dict.fromkeys(job.rule for job in planned):
        causes = Counter(job.why for job in planned if job.rule == rule)
        count = sum(causes.values())
        start = f"{rule}: {count} of {counted(total[rule], UNITS.get(rule, 'job'))}"
        if len(causes) == 1:
            lines.append(f"{start}, because {next(iter(causes))}")
        else:
            parts = [f"{number} because {why}" for why, number in causes.most_common()]
            lines.append(f"{start}: {'; '.join(parts)}")
    return lines


def advice(planned: list[Job], words: list[str]) -> list[str]:
    """Return how to learn whether changed code changes a result, where other rules would run for its sake alone.

    Within one call a rule runs because a rule before it does; a later call compares what that one wrote.

    Args:
        planned: the jobs that would run.
        words: of the command line behind Snakemake's own.
    """
    behind = {job.rule for job in planned if not job.first}
    changed = {job.rule for job in planned if job.why.endswith(".py changed")} - behind
    if not changed or not any(job.why.startswith(FOLLOWS) for job in planned):
        return []
    alone = " ".join(["snakemake", "--until", *sorted(changed), *words])
    return [
        f"Where code changed and no result may have: {alone} first; files that come out as before cost nothing else."
    ]
