"""timm, importable beside any build of torch."""

# First, so that timm can import torchvision.
import pipeline.networks.vision_operators  # noqa: F401  isort: skip

import timm

create_model = timm.create_model
