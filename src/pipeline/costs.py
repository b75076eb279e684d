"""How the costs of heads are measured: part of the configuration."""

import json
from typing import Annotated, Literal

from pydantic import Field

from pipeline.spec import Spec


class Cost(Spec):
    """What the configuration says of how costs are measured: the same in every space."""

    batch: Annotated[int, Field(ge=2)] = 32
    """Samples in a batch, of training and of inference. [samples]"""
    rounds: Annotated[int, Field(ge=1)] = 5
    """How many turns each space is timed for; what is reported are medians. [1]"""
    reported: bool = False
    """Whether costs are measured with the study and shown in its report; `results/cost.csv` can always be asked for."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What networks compute in; parameters are float32."""

    def settings(self) -> str:
        """Return how costs are measured as one sorted line of JSON: without whether they are shown."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True, exclude={"reported"}), sort_keys=True)
