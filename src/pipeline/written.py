"""A configuration as it can be shown to everybody: without the paths of the machine that it is for."""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(a path, not shown)"
SHIPPED = ("results/", "resources/")
"""What paths begin with that are the same in every checkout."""
PATH = re.compile(
    r"[/\\~]|\$\{|\.(csv|tsv|txt|json|parquet|xlsx?|ya?ml|safetensors|onnx|dcm|png|nii(\.gz)?)$", re.IGNORECASE
)
"""What makes a text look like a path; a text with a slash that is none is hidden, too, which is the safer error."""


def shown(value: Any) -> Any:  # noqa: ANN401 - a configuration is any JSON value
    """Return a configuration, or a part of it, with every text replaced that looks like a path of this machine."""
    if isinstance(value, Mapping):
        return {str(key): shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    hidden = isinstance(value, str) and PATH.search(value) and not value.startswith(SHIPPED)
    return HIDDEN if hidden else value
