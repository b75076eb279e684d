"""Large images in overlapping squares: exact for codecs of patches, close for networks, nothing uncovered."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks.tiles import Tiled, _starts


def read(**entry: object) -> AutoencoderSpec:
    spec = families.spec("autoencoders", entry)
    assert isinstance(spec, AutoencoderSpec)
    return spec


@settings(max_examples=200, deadline=None)
@given(places=st.integers(1, 60), side=st.integers(4, 20), stride=st.sampled_from([1, 4, 8]))
def test_squares_cover_a_side_overlap_and_stay_inside(places: int, side: int, stride: int) -> None:
    length, tile = places * stride, side * stride
    starts = _starts(length, tile, stride)
    if length <= tile:
        assert starts == [0]
        return
    assert starts[0] == 0
    assert starts[-1] + tile == length
    assert all(start % stride == 0 for start in starts)
    assert all(0 < after - before < tile for before, after in pairwise(starts))


@pytest.mark.parametrize("shape", [(64, 64), (48, 64), (64, 40)])
@pytest.mark.parametrize("entry", [{"family": "orthogonal", "stride": 4, "seed": 1}, {"family": "jpeg", "quality": 80}])
def test_codecs_of_patches_do_not_notice(entry: dict[str, object], shape: tuple[int, int]) -> None:
    images = natural_images(2, 64, seed=3)[:, :, : shape[0], : shape[1]]
    whole, tiled = read(**entry), read(**entry, tile=32)
    size = (3, *shape)
    expected, found = (spec.load_for(size).encode(images).mean for spec in (whole, tiled))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    decoded = tiled.load_for(size).decode(found)
    np.testing.assert_allclose(decoded, whole.load_for(size).decode(expected), atol=1e-5)


def test_a_network_gives_nearly_the_same_and_keeps_its_log_variance() -> None:
    images = natural_images(2, 64, seed=4)
    entry = {"family": "diffusers-kl", "folder": "resources/weights/kl"}
    whole, tiled = read(**entry).load_for((3, 64, 64)), read(**entry, tile=48).load_for((3, 64, 64))
    expected, found = whole.encode(images), tiled.encode(images)
    assert found.log_variance is not None
    assert found.log_variance.shape == found.mean.shape
    assert np.corrcoef(found.mean.ravel(), expected.mean.ravel())[0, 1] > 0.98
    assert np.sqrt(np.mean((tiled.decode(found.mean) - images) ** 2)) < 0.05


def test_only_images_that_are_larger_than_a_square_are_cut() -> None:
    spec = read(family="lossy", stride=4, tile=32)
    assert not isinstance(spec.load_for((1, 32, 32)), Tiled)
    assert isinstance(spec.load_for((1, 32, 36)), Tiled)


def test_squares_that_do_not_divide_are_refused() -> None:
    for tile in (30, 12):
        with pytest.raises(StudyError, match="multiple of the stride, 4, and at least 16"):
            read(family="lossy", stride=4, tile=tile).load_for((1, 64, 64))
