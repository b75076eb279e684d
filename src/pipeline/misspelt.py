"""What is said of an entry that its class refuses; of a key that there is not, which one may be meant."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import ValidationError

from pipeline.spec import Spec


def told(error: ValidationError, model: type[Spec]) -> str:
    """Return the first thing that is wrong with an entry: the key, and what is to be done about it.

    Args:
        error: what reading the entry raised.
        model: the class that it was read by.
    """
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{key}: {first['msg']}"
    known = sorted(keys(model, first["loc"][:-1]))
    near = get_close_matches(str(first["loc"][-1]), known, n=1)
    return f"{key}: there is no such key; " + (
        f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
    )


def keys(model: type[Spec], path: Sequence[int | str]) -> set[str]:
    """Return the keys that an entry has below a path of keys.

    Parts of the path that are no keys, such as places in lists or which of several classes was tried, are passed over.
    """
    models = [model]
    for part in path:
        fields = [found.model_fields[part] for found in models if part in found.model_fields]
        models = [below for field in fields for below in _classes(field.annotation)] if fields else models
    return {name for found in models for name in found.model_fields}


def _classes(annotation: object) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)
