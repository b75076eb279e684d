"""A variational autoencoder with a Gaussian posterior (diffusers' AutoencoderKL; Rombach et al., 2022).

Stable Diffusion 1 to 3, SDXL and FLUX.1 are published in this class.
"""

from typing import ClassVar

from pipeline.networks.folder import FolderSpec


class Spec(FolderSpec):
    """An autoencoder in a local folder."""

    network: ClassVar[str] = "AutoencoderKL"
