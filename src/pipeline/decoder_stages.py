"""The stages of a frozen decoder, as heads look at them."""

import json
from pathlib import Path

from pipeline import families, weights
from pipeline.autoencoders import AutoencoderSpec, Staged
from pipeline.errors import StudyError
from pipeline.heads import Floats, Stages
from pipeline.store import Rows


def load(decoder: str, store: Path) -> Stages | None:
    """Return what gives the activations of a decoder's stages; None for an autoencoder that does not show them.

    Args:
        decoder: the autoencoder's entry of the configuration as JSON.
        store: of its latents, which says for which images they stand.

    Raises:
        StudyError: the entry is of no autoencoder, or a weight file is not what its pinned hash says.
    """
    spec = families.spec("autoencoders", json.loads(decoder))
    if not isinstance(spec, AutoencoderSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not an AutoencoderSpec")
    weights.verify(spec.files())
    channels, height, width = Rows(store).attributes["image_shape"]
    autoencoder = spec.load_for((channels, height, width))
    if not isinstance(autoencoder, Staged):
        return None
    names = autoencoder.stages()

    def stages(latents: Floats) -> dict[str, Floats]:
        found = autoencoder.activations(latents, names)
        return {name: found[name] for name in names}

    return stages
