"""Files to the storage grid, row by row as the mapping says; a file that cannot be decoded costs itself."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from pipeline.errors import StudyError
from pipeline.normalize import lay_out_images, normalize
from pipeline.pixels import PixelSpec
from pipeline.store import Rows, check, from_grid
from tests.image_files import dicom

SPEC = PixelSpec(size=16)


def images(folder: Path, count: int = 5, mode: str = "L") -> list[np.ndarray]:
    """Write 8-bit images with odd names and return their samples."""
    random, made = np.random.default_rng(0), []
    for number in range(count):
        shape = (16, 16) if mode == "L" else (16, 16, 3)
        made.append(random.integers(0, 256, shape, dtype=np.uint8))
        Image.fromarray(made[-1]).save(folder / f"{number}", format="PNG")
    return made


def mapping(count: int = 5) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"s{k}" for k in range(count)], "path": [str(k) for k in range(count)], "frame": 0})


@pytest.mark.usefixtures("in_process")
def test_eight_bit_images_of_the_wanted_size_come_back_exactly(tmp_path: Path) -> None:
    made = images(tmp_path)
    stored, samples = normalize(mapping(), tmp_path, SPEC, 1)
    assert (stored.shape, stored.dtype) == ((5, 1, 16, 16), np.uint16)
    np.testing.assert_array_equal(np.rint(from_grid(stored)[:, 0] * 255), np.stack(made))
    assert list(samples["id"]) == ["s0", "s1", "s2", "s3", "s4"]
    assert samples["pixels"].nunique() == 5
    assert list(samples["reason"].unique()) == [""]


@pytest.mark.usefixtures("in_process")
def test_colour_has_three_channels_in_their_order(tmp_path: Path) -> None:
    made = images(tmp_path, 2, "RGB")
    stored, _ = normalize(mapping(2), tmp_path, PixelSpec(size=16, channels="rgb"), 1)
    np.testing.assert_array_equal(np.rint(from_grid(stored) * 255), np.stack(made).transpose(0, 3, 1, 2))


@pytest.mark.usefixtures("in_process")
def test_the_frames_of_a_file_are_told_apart(tmp_path: Path) -> None:
    dicom(tmp_path / "clip.dcm", "p", 4, 0)
    chosen = pd.DataFrame({"id": list("abc"), "path": "clip.dcm", "frame": [2, 0, 3]})
    together, samples = normalize(chosen, tmp_path, PixelSpec(size=8), 1)
    expected = pydicom.dcmread(tmp_path / "clip.dcm").pixel_array[[2, 0, 3]]
    np.testing.assert_array_equal(np.rint(from_grid(together)[:, 0] * 255), expected)
    assert samples["pixels"].nunique() == 3


@pytest.mark.usefixtures("in_process")
def test_the_same_pixels_have_the_same_hash_whatever_file_holds_them(tmp_path: Path) -> None:
    (made,) = images(tmp_path, 1)
    Image.fromarray(made).save(tmp_path / "1", format="TIFF")
    _, samples = normalize(mapping(2), tmp_path, SPEC, 1)
    assert len(set(samples["pixels"])) == 1


@pytest.mark.usefixtures("in_process")
def test_a_file_that_cannot_be_decoded_costs_its_own_samples(tmp_path: Path) -> None:
    made = images(tmp_path)
    (tmp_path / "3").write_text("no image")
    stored, samples = normalize(mapping(), tmp_path, SPEC, 1)
    assert list(samples["reason"] != "") == [False, False, False, True, False]
    assert samples["reason"][3].startswith("not a DICOM")
    assert samples["pixels"][3] == ""
    assert not stored[3].any()
    np.testing.assert_array_equal(np.rint(from_grid(stored)[4, 0] * 255), made[4])


@pytest.mark.usefixtures("in_process")
def test_a_file_that_went_away_stops_the_job_and_is_named_in_private_only(tmp_path: Path) -> None:
    images(tmp_path)
    (tmp_path / "1").unlink()
    with pytest.raises(StudyError, match="cannot be opened any more") as caught:
        normalize(mapping(), tmp_path, SPEC, 1)
    assert str(tmp_path) not in caught.value.message
    assert caught.value.detail == str(tmp_path / "1")


@pytest.mark.parametrize(("channels", "count"), [("grey", 1), ("rgb", 3)])
def test_the_store_is_laid_out_for_every_sample(tmp_path: Path, channels: str, count: int) -> None:
    spec = PixelSpec.model_validate({"size": 16, "channels": channels})
    lay_out_images(7, spec, 3, tmp_path)
    rows = Rows(tmp_path)
    assert (len(rows), rows.shape, rows.dtype) == (7, (count, 16, 16), np.uint16)
    assert rows.attributes["kind"] == "pixels"


def test_the_program_fills_shards_of_files_with_odd_names_and_workers_change_nothing(tmp_path: Path) -> None:
    names = ["NA", "1e5", "null", "0123", "a b.png"]
    made = images(tmp_path)
    for number, name in enumerate(names):
        (tmp_path / str(number)).rename(tmp_path / name)
    table = pd.DataFrame({"id": "x", "path": [*names, "gone"], "frame": 0, "reason": [""] * 5 + ["missing"]})
    table.to_csv(tmp_path / "mapping.csv", index=False)
    (tmp_path / "rows").write_text("5\n")
    store = tmp_path / "images.zarr"
    common = [sys.executable, "-m", "pipeline.normalize", "--spec", SPEC.written(), "--store", str(store)]
    subprocess.run([*common, "--rows", str(tmp_path / "rows"), "--shards", "2"], check=True)
    manifests = [tmp_path / "images" / f"{shard}.json" for shard in range(2)]
    for shard, manifest in enumerate(manifests):
        arguments = ["--root", str(tmp_path), "--shard", str(shard), "--manifest", str(manifest)]
        arguments += ["--mapping", str(tmp_path / "mapping.csv"), "--workers", str(shard + 1)]
        arguments += ["--samples", str(manifest.with_suffix(".parquet"))]
        subprocess.run([*common, *arguments], check=True)
    check(store, manifests)
    np.testing.assert_array_equal(np.rint(Rows(store).read(0, 5)[:, 0] * 255), np.stack(made))
    recorded = json.loads(manifests[1].read_text())
    assert (recorded["start"], recorded["stop"]) == (3, 5)
    assert recorded["made_by"]["pixels"]["size"] == 16
    assert len(pd.read_parquet(manifests[1].with_suffix(".parquet"))) == 2
    assert not any(name in manifests[0].read_text() for name in ("NA", "1e5", "0123"))
