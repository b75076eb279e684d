"""Refuse arrays with values that are not finite, in pure NumPy."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StudyError


def finite(values: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    """Return the values, which are `what`; raise StudyError if one of them is infinite or not a number."""
    if wrong := int(np.count_nonzero(~np.isfinite(values))):
        raise StudyError(f"{wrong} of the values of {what} are not finite")
    return values
