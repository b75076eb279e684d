"""Classical codecs: the cosine transform against closed forms and SciPy, JPEG against libjpeg."""

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from scipy.fft import dctn

from pipeline.autoencoders import dct, jpeg
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks import jpeg_blocks, jpeg_files
from pipeline.networks.cosine import basis, inverse, transform, zigzag

PIXELS = natural_images(6, 64, seed=45)
NOISE = np.random.default_rng(0).random((3, 3, 64, 64), dtype=np.float32)
# ITU-T T.81, figure A.6: the place in zigzag order of each coefficient, row by row.
FIGURE_A6 = """
     0  1  5  6 14 15 27 28
     2  4  7 13 16 26 29 42
     3  8 12 17 25 30 41 43
     9 11 18 24 31 40 44 53
    10 19 23 32 39 45 52 54
    20 22 33 38 46 51 55 60
    21 34 37 47 50 56 59 61
    35 36 48 49 57 58 62 63
"""
sizes = st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 4), st.integers(1, 4), st.integers(1, 16))


def images_of(size: tuple[int, int, int, int, int]) -> NDArray[np.float32]:
    count, channels, rows, columns, stride = size
    return np.random.default_rng(rows).random((count, channels, rows * stride, columns * stride), dtype=np.float32)


def kept(stride: int, keep: int) -> dct.Spec:
    return dct.Spec(family="dct", stride=stride, keep=keep)


def codec(**options: Any) -> jpeg.Jpeg:  # noqa: ANN401 (whatever a configuration may say)
    loaded = jpeg.Spec.model_validate({"family": "jpeg", **options}).load(3)
    assert isinstance(loaded, jpeg.Jpeg)
    return loaded


@pytest.mark.parametrize("size", [1, 2, 3, 8, 16, 33])
def test_the_basis_is_orthonormal(size: int) -> None:
    np.testing.assert_allclose(basis(size) @ basis(size).T, np.eye(size), atol=1e-13)
    np.testing.assert_allclose(basis(size)[0], size**-0.5)


def test_zigzag_is_that_of_the_standard() -> None:
    np.testing.assert_array_equal(np.argsort(zigzag(8)), [int(place) for place in FIGURE_A6.split()])


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_zigzag_visits_every_place_once_and_one_diagonal_after_the_other(size: int) -> None:
    rows, columns = np.divmod(zigzag(size), size)
    assert sorted(zigzag(size)) == list(range(size**2))
    assert (np.diff(rows + columns) >= 0).all()
    assert (np.maximum(np.abs(np.diff(rows)), np.abs(np.diff(columns))) == 1).all()


@settings(max_examples=30, deadline=None)
@given(sizes)
def test_coefficients_are_those_of_another_implementation(size: tuple[int, int, int, int, int]) -> None:
    images, stride = images_of(size), size[-1]
    coefficients = transform(images, stride)
    for row, column in ((0, 0), (size[2] - 1, size[3] - 1)):
        block = images[:, :, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        expected = dctn(block.astype(np.float64), axes=(2, 3), norm="ortho").reshape(*block.shape[:2], -1)
        np.testing.assert_allclose(coefficients[..., row, column], expected[:, :, zigzag(stride)], atol=1e-12)
    np.testing.assert_allclose(inverse(coefficients, stride), images, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(sizes)
def test_all_coefficients_are_lossless_and_keep_energy(size: tuple[int, int, int, int, int]) -> None:
    images, stride = images_of(size), size[-1]
    autoencoder = kept(stride, stride**2).load(images.shape[1])
    latents = autoencoder.encode(images).mean
    assert np.abs(autoencoder.decode(latents) - images).max() < 2e-6
    energy = np.square(images.astype(np.float64)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(np.square(latents.astype(np.float64)).sum(axis=(1, 2, 3)), energy, rtol=1e-6)


@pytest.mark.parametrize("keep", [1, 3, 10, 63])
def test_the_error_is_the_energy_that_is_not_kept(keep: int) -> None:
    images = 0.25 + PIXELS / 2  # so that no projection leaves [0, 1] and is clipped
    everything = kept(8, 64).load(3).encode(images).mean.reshape(6, 3, 64, 8, 8)
    autoencoder = kept(8, keep).load(3)
    latents = autoencoder.encode(images).mean
    np.testing.assert_array_equal(latents.reshape(6, 3, keep, 8, 8), everything[:, :, :keep])
    error = np.square((autoencoder.decode(latents) - images).astype(np.float64)).sum(axis=(1, 2, 3))
    dropped = np.square(everything[:, :, keep:].astype(np.float64)).sum(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(error, dropped, rtol=1e-3)
    np.testing.assert_allclose(autoencoder.encode(autoencoder.decode(latents)).mean, latents, atol=1e-5)


@pytest.mark.parametrize(
    ("index", "row", "column"), [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 2, 0), (4, 1, 1), (15, 3, 3)]
)
def test_a_wave_of_the_basis_is_one_coefficient(index: int, row: int, column: int) -> None:
    places = np.arange(4)
    wave = np.outer(*(np.cos(np.pi * (2 * places + 1) * frequency / 8) for frequency in (row, column)))
    image = (0.5 + 0.25 * wave).astype(np.float32)[None, None]
    latents = kept(4, 16).load(1).encode(image).mean[0, :, 0, 0]
    expected = np.zeros(16)
    expected[0] = 4 * 0.5
    expected[index] += 0.25 * np.sqrt((4 if row == 0 else 2) * (4 if column == 0 else 2))
    np.testing.assert_allclose(latents, expected, atol=1e-6)


def test_one_coefficient_is_the_mean_of_a_block() -> None:
    latents = kept(8, 1).load(3).encode(PIXELS).mean
    np.testing.assert_allclose(latents, 8 * PIXELS.reshape(6, 3, 8, 8, 8, 8).mean(axis=(3, 5)), rtol=1e-5)


def test_more_coefficients_than_a_block_has_are_refused() -> None:
    with pytest.raises(ValidationError, match="4 x 4 has no 17 coefficients"):
        kept(4, 17)


@pytest.mark.parametrize("quality", range(1, 101))
def test_tables_are_those_of_libjpeg(quality: int) -> None:
    with Image.open(io.BytesIO(jpeg_files.written(np.zeros((3, 8, 8), np.uint8), quality))) as image:
        tables = [image.quantization[number] for number in (0, 1, 1)]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(jpeg_blocks.steps(quality, 3), np.array(tables)[:, zigzag(8)])


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_decoded_images_are_those_of_libjpeg_bit_for_bit(quality: int, channels: int) -> None:
    images = np.concatenate([PIXELS, NOISE, np.rint(NOISE)])[:, :channels]
    autoencoder = codec(quality=quality)
    ours = 255 * autoencoder.decode(autoencoder.encode(images).mean)
    files = [jpeg_files.written(image, quality) for image in jpeg_blocks.levels(images)]
    theirs = np.stack([np.atleast_3d(imagecodecs.jpeg8_decode(file)) for file in files]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("quality", [50, 90])
def test_coefficients_are_those_of_the_cosine_transform_up_to_half_a_step(quality: int) -> None:
    levels = jpeg_blocks.levels(PIXELS[:, :1])
    latents = codec(quality=quality).encode(PIXELS[:, :1]).mean
    exact = transform(levels - 128.0, 8)[:, 0]
    # libjpeg's integers hold eighths of a level.
    assert (np.abs(latents - exact) - jpeg_blocks.steps(quality, 1)[0][:, None, None] / 2).max() < 1 / 8
    assert np.abs(latents - exact).max() > 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 255), st.integers(1, 100))
def test_a_grey_level_is_quantised_as_the_standard_says(level: int, quality: int) -> None:
    image = np.full((1, 1, 8, 8), level / 255, np.float32)
    autoencoder = codec(quality=quality)
    latents = autoencoder.encode(image).mean[0, :, 0, 0]
    step = int(jpeg_blocks.steps(quality, 1)[0, 0])
    wanted = 8 * (level - 128)
    assert latents[0] == np.sign(wanted) * ((2 * abs(wanted) + step) // (2 * step)) * step
    assert not latents[1:].any()
    with Image.open(io.BytesIO(jpeg_files.written(jpeg_blocks.levels(image)[0], quality))) as decoded:
        np.testing.assert_allclose(255 * autoencoder.decode(autoencoder.encode(image).mean)[0, 0], decoded, atol=1e-3)


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_latents_are_multiples_of_the_steps_and_half_precision_holds_them(quality: int) -> None:
    extremes = np.random.default_rng(0).integers(0, 2, (4, 3, 32, 32)).astype(np.float32)
    extremes[1:3] = np.arange(2)[:, None, None, None]
    for images in (PIXELS, extremes):
        latents = codec(quality=quality).encode(images).mean
        indices = (
            latents.reshape(len(latents), 3, 64, *latents.shape[2:]) / jpeg_blocks.steps(quality, 3)[..., None, None]
        )
        np.testing.assert_array_equal(indices, np.rint(indices))
        np.testing.assert_array_equal(latents.astype(np.float16), latents)


def test_ties_do_not_depend_on_the_batch() -> None:
    # With a step of 16 every second level of a flat block lies between two indices.
    images = np.repeat(np.arange(256, dtype=np.float32)[:, None, None, None] / 255, 64, axis=2).reshape(256, 1, 8, 8)
    autoencoder = codec(quality=50)
    together = autoencoder.encode(images).mean
    alone = np.concatenate([autoencoder.encode(image[None]).mean for image in images])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("bits_per_pixel", [1.0, 2.0, 6.0])
def test_a_rate_is_kept_and_made_use_of(bits_per_pixel: float) -> None:
    images = natural_images(4, 128, seed=46)
    autoencoder = codec(bits_per_pixel=bits_per_pixel)
    most = bits_per_pixel * 128 * 128 / 8
    sizes_of_files = autoencoder.file_bytes(images)
    assert (sizes_of_files <= most).all()
    for image, levels, size in zip(images, jpeg_blocks.levels(images), sizes_of_files, strict=True):
        quality = autoencoder.chosen(levels)
        assert size == len(jpeg_files.written(levels, quality))
        assert quality == 100 or jpeg_files.size(levels, quality + 1) > most
        same = codec(quality=quality)
        latents = autoencoder.encode(image[None]).mean
        np.testing.assert_array_equal(latents, same.encode(image[None]).mean)
        np.testing.assert_array_equal(autoencoder.decode(latents), same.decode(latents))


def test_a_rate_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(StudyError, match=r"64 x 64 pixels takes \d+ bytes as JPEG of the lowest quality"):
        codec(bits_per_pixel=0.1).encode(PIXELS)


@pytest.mark.parametrize("options", [{}, {"quality": 50, "bits_per_pixel": 1.0}])
def test_either_a_quality_or_a_rate_is_said(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="either 'quality' or 'bits_per_pixel'"):
        codec(**options)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(StudyError, match="and not of 2"):
        jpeg.Spec(family="jpeg", quality=50).load(2)
    for autoencoder, values in ((codec(quality=50), 192), (kept(8, 1).load(3), 3)):
        with pytest.raises(StudyError, match="not finite"):
            autoencoder.encode(np.full((1, 3, 8, 8), np.nan, np.float32))
        with pytest.raises(StudyError, match="not finite"):
            autoencoder.decode(np.full((1, values, 1, 1), np.inf, np.float32))
        with pytest.raises(StudyError, match="12 x 8"):
            autoencoder.encode(np.zeros((1, 3, 12, 8), np.float32))
