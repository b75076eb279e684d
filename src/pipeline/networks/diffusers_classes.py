"""The autoencoders of diffusers, importable beside any build of torch: new ones, and ones in a local folder."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import StudyError
from pipeline.networks import vision_operators  # noqa: F401  (diffusers imports torchvision when a class is first used)
from pipeline.networks.folder import WEIGHTS
from pipeline.networks.folder import Model as Model


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let a package that is imported now not find another one."""
    found = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
        if found is not None:
            sys.modules[package] = found


# diffusers imports transformers with the first of its autoencoders that is used, and every job would wait for that.
# Only AutoencoderRAE needs it, and gets it from `rae_encoders`.
with nullcontext() if "diffusers" in sys.modules else _without("transformers"):
    import diffusers
    import diffusers.models.autoencoders


def build(network: str, architecture: dict[str, Any]) -> Model:
    """Return a new autoencoder of this class; raise StudyError for an argument that the class does not have."""
    kind = getattr(diffusers, network)
    if unknown := set(architecture) - set(inspect.signature(kind.__init__).parameters):
        raise StudyError(f"{network} has no argument {min(unknown)}")
    return kind(**architecture)


def read(network: str, folder: str) -> Model:
    """Read an autoencoder of this class in float32, without asking the internet.

    Raises:
        StudyError: the weights are missing, or some do not belong to the network, or it lacks some. diffusers would
            only warn and leave random values in their place.
    """
    if not (weights := Path(folder) / WEIGHTS).is_file():
        raise StudyError(f"there is no file {weights}")
    try:
        model, information = getattr(diffusers, network).from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise StudyError(f"{folder} cannot be read as {network}: {error}") from error
    if wrong := sorted(str(key) for keys in information.values() for key in keys):
        raise StudyError(f"{weights} and its config.json do not fit together at {wrong[0]}")
    return model
