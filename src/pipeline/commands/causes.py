"""Why Snakemake would run a job, in the words of the configuration and of files that the user knows."""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import StudyError
from pipeline.plan import programs
from pipeline.store import Manifest

NAMED = ("benchmark", "head", "autoencoder", "view", "dataset")
"""Wildcards from the narrowest entry of the configuration to the widest."""
KINDS = {"dataset": "data set"}
OF_DATASET = ("classes", "task", "size", "unit", "shards", "root")
OF_STUDY = ("seeds", "replicates", "thresholds", "settings", "roles", "title", "baseline", "cells", "plan", "claims")
"""Parameters of rules that are said of no head or autoencoder."""
FOLLOWS = "what it is made from would be made again"
LONG = 60
"""Characters of a value that are shown."""


class Causes:
    """Why each job of a plan would run, as the half of a sentence that follows `because`."""

    def __init__(self, graph: Any) -> None:  # noqa: ANN401 - Snakemake has no types
        self.graph, self.known = graph, graph.workflow.persistence
        self._roots: dict[Any, frozenset[str]] = {}

    def of(self, job: Any) -> str:  # noqa: ANN401
        """Return a job's own causes; where it has none, the rules whose jobs it follows from."""
        return " and ".join(self.own(job)) or f"{FOLLOWS} ({_listed(sorted(self.roots(job)))})"

    def own(self, job: Any) -> list[str]:  # noqa: ANN401
        """Return why the job would run whatever else runs; nothing where it only follows from others."""
        reason = self.graph.reason(job)
        if reason.forced:
            return ["a call that was ended left it unfinished"]
        # Asked again, since Snakemake stops asking where what a job is made of is made again anyway.
        recorded = self.known.has_metadata(job) and not self.known.has_outdated_metadata(job)
        found = parameters(job, self.known) if recorded else []
        found += files(sorted(map(str, reason.updated_input - reason.updated_input_run)), _made(job))
        if reason.input_changed:
            found += other_inputs({str(path) for path in job.input}, self.known.input(job.output[0]) or [])
        if reason.code_changed:
            found.append(f"the rule {job.rule.name} is written differently")
        if reason.software_stack_changed:
            found.append("the software environment is another one")
        if not found and reason.missing_output:
            found.append("its files are gone" if recorded else "it was never made")
        return found

    def roots(self, job: Any) -> frozenset[str]:  # noqa: ANN401
        """Return the rules of the nearest jobs with causes of their own that a job follows from."""
        if job not in self._roots:
            others = [other for other in self.graph.dependencies[job] if self.graph.needrun(other)]
            parts = [frozenset({other.rule.name}) if self.own(other) else self.roots(other) for other in others]
            self._roots[job] = frozenset().union(*parts)
        return self._roots[job]


def parameters(job: Any, known: Any) -> list[str]:  # noqa: ANN401
    """Return what changed in the configuration since the job ran, an entry of it each."""
    change = known.params_changed(job)
    if not change:
        return []
    old = [_value(text) for text in sorted(change.only_old)]
    found = []
    for name, value in job.params.items():
        if repr(value) in change.only_new:
            now = _parsed(value)
            found.append(f"of {subject(name, job.wildcards_dict)}: {difference(name, _likest(old, now), now)}")
    return found or ["a setting was taken away"]


def subject(parameter: str, wildcards: Mapping[str, str]) -> str:
    """Return which entry of the configuration a parameter of a rule is said of."""
    if parameter in OF_STUDY:
        return "the study's settings"
    kinds = ("dataset",) if parameter in OF_DATASET else NAMED
    kind = next((kind for kind in kinds if kind in wildcards), None)
    return f"the settings of {KINDS.get(kind, kind)} {wildcards[kind]}" if kind else "the study's settings"


def difference(name: str, old: Any, new: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return what is different in a setting: key by key where there are keys."""
    if not (isinstance(new, dict) and isinstance(old, dict)):
        told = f"{name} is {_short(new)}"
        return told if old is None else f"{told}, was {_short(old)}"
    parts = []
    for key in sorted(new.keys() | old.keys()):
        if key not in old:
            parts.append(f"{key} is {_short(new[key])}, was not set")
        elif key not in new:
            parts.append(f"{key} is not set, was {_short(old[key])}")
        elif new[key] != old[key]:
            parts.append(f"{key} is {_short(new[key])}, was {_short(old[key])}")
    return "; ".join(parts)


def _made(job: Any) -> int:  # noqa: ANN401
    """Return when the first of a job's outputs was made, in nanoseconds."""
    return min((Path(path).stat().st_mtime_ns for path in map(str, job.output) if Path(path).exists()), default=0)


def files(changed: Iterable[str], made: int) -> list[str]:
    """Return what changed files mean to a user; `made` is when the job's outputs were made, in nanoseconds."""
    found = []
    for path in changed:
        parts = Path(path).parts
        if programs.FOLDER in Path(path).parents:
            found.append(f"{_few(programs.changed_since(Path(path), made)) or 'the code that it runs'} changed")
        elif parts[0] == "results" and Path(path).stem.isdigit() and _lost(Path(path)):
            found.append(f"the shard of {path} was missing or damaged")
        elif parts[:2] == ("results", "inspected") and len(parts) > 3:
            found.append(f"image files of data set {parts[2]} changed")
        elif parts[:2] == ("results", "inspected"):
            found.append(f"labels, patients or the list of samples of data set {parts[2].partition('.')[0]} changed")
        else:
            found.append(f"{path} changed")
    return list(dict.fromkeys(found))


def _lost(path: Path) -> bool:
    """Tell whether a file stands in place of the manifest of a shard that is not there any more."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        Manifest.read(path)
    except StudyError:
        return True
    return False


def other_inputs(now: set[str], before: Iterable[str]) -> list[str]:
    """Return which files a job is made from that it was not made from before, and the other way round."""
    known = set(before)
    added, gone = sorted(now - known), sorted(known - now)
    found = [f"it is also made from {_few(added)}"] if added else []
    return found + ([f"it is no longer made from {_few(gone)}"] if gone else [])


def _few(names: list[str]) -> str:
    return _listed(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def _parsed(value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return _parsed(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def _likest(candidates: list[Any], now: Any) -> Any:  # noqa: ANN401
    """Return which of the values before stood in this one's place; None where several may have."""
    alike = [value for value in candidates if type(value) is type(now)]
    if isinstance(now, dict):
        shared = [len(value.keys() & now.keys()) for value in alike]
        alike = [value for value, count in zip(alike, shared, strict=True) if count == max(shared)]
    return alike[0] if len(alike) == 1 else None


def _short(value: Any) -> str:  # noqa: ANN401
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."
