"""The base of every typed entry of a configuration."""

import json
from typing import Self

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """An entry of the configuration: frozen, and a misspelt key is an error.

    The Snakefile and the programs read an entry with the same class. Subclasses import neither torch nor a library
    that does, because the Snakefile is parsed again in every cluster job.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def written(self) -> str:
        """Return only what the user wrote as one sorted line of JSON, so that a new default reruns nothing."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `written` returned."""
        return cls.model_validate_json(text)
