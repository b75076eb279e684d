"""The page on diffusability defines everything that is measured and names tests that exist; every key is documented."""

import re
from pathlib import Path

import pytest

from pipeline import families, fisher, geometry
from pipeline.denoisers import DenoiserSpec
from pipeline.diffusion import Diffusability, Geometry
from pipeline.penalties import COMPARED
from pipeline.trained_denoiser import TrainedDenoiser

ROOT = Path(__file__).parent.parent
METHOD = (ROOT / "docs/method-diffusability.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
INFORMATION = ("class_fisher", "class_fisher_labels", "information", "information_integrated")


def test_every_quantity_is_defined() -> None:
    ratios = [f"{name}_ratio" for name in COMPARED]
    for name in (*fisher.EXTENSIVE, *fisher.QUALITY, *geometry.QUANTITIES, *INFORMATION, *ratios, "compression"):
        assert f"`{name}`" in METHOD, name


def test_every_test_that_is_named_exists() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    named = set(re.findall(r"\btest_[a-z0-9_]+\b", METHOD))
    assert len(named) > 8
    assert [name for name in sorted(named) if f"def {name}(" not in source] == []


@pytest.mark.parametrize("family", families.names("denoisers"))
def test_every_key_of_a_denoiser_is_documented(family: str) -> None:
    spec = families.spec("denoisers", {"family": family})
    assert isinstance(spec, DenoiserSpec)
    of_networks = set(TrainedDenoiser.model_fields) if isinstance(spec, TrainedDenoiser) else set()
    for key in {*type(spec).model_fields, *of_networks} - {"family"}:
        assert f"`{key}`" in CONFIGURATION, key
    assert f"`{family}`" in CONFIGURATION and f"`{family}`" in METHOD.replace("**", "")


def test_every_key_of_the_measurement_is_documented_with_its_default() -> None:
    for key in set(Diffusability.model_fields) - {"geometry"}:
        assert f"`{key}`" in CONFIGURATION, key
    for key in Geometry.model_fields:
        assert f"`geometry.{key}`" in CONFIGURATION, key
    assert f"| {Diffusability().samples} |" in CONFIGURATION
    levels = ", ".join(f"{level:g}" for level in Diffusability().levels)
    assert f"`[{levels}]`" in CONFIGURATION
