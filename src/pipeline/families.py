"""Find the module of a family from its name in the configuration: no list of families is kept anywhere."""

import importlib
import json
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import StudyError
from pipeline.spec import Spec

Kind = Literal["autoencoders", "benchmarks", "datasets", "denoisers", "heads"]


def names(kind: Kind) -> list[str]:
    """Return the families of one kind, as they are written in a configuration."""
    folder = Path(__file__).parent / kind
    modules = (module.name for module in pkgutil.iter_modules([str(folder)]) if not module.ispkg)
    return sorted(name.replace("_", "-") for name in modules)


@cache
def module_name(kind: Kind, family: str) -> str:
    """Return the dotted name of a family's module; raise StudyError for a family that does not exist."""
    if family not in names(kind):
        raise StudyError(f"there is no family '{family}' of {kind}; there are {', '.join(names(kind))}")
    return f"pipeline.{kind}.{family.replace('-', '_')}"


def spec(kind: Kind, entry: dict[str, Any]) -> Spec:
    """Read one entry with the `Spec` class of its family."""
    if "family" not in entry:
        raise StudyError(f"an entry of {kind} has no 'family': {json.dumps(entry, sort_keys=True)}")
    family: type[Spec] = importlib.import_module(module_name(kind, entry["family"])).Spec
    return family.model_validate(entry)
