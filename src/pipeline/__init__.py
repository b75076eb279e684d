"""Which autoencoder's latent space can a classifier learn from, on your medical images, and why?"""

from typing import Any

__all__ = ["LabelledSpace", "OpenStudy", "fit", "gap", "load_space", "open_study", "read_predictions"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Return what `pipeline.api` offers, imported when it is asked for.

    Every job imports this package, so it imports nothing; and a change of what notebooks use is no reason to run a job.
    """
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("pipeline.api"), name)
