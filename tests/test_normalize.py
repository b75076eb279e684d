"""Files to the storage grid, row by row as the mapping says."""

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
from tests.test_index import dicom

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
    return pd.DataFrame({"id": range(count), "path": [str(k) for k in range(count)], "frame": 0})


def test_eight_bit_images_of_the_wanted_size_come_back_exactly(tmp_path: Path) -> None:
    made = images(tmp_path)
    stored = normalize(mapping(), tmp_path, SPEC)
    assert (stored.shape, stored.dtype) == ((5, 1, 16, 16), np.uint16)
    np.testing.assert_array_equal(np.rint(from_grid(stored)[:, 0] * 255), np.stack(made))


def test_colour_has_three_channels_in_their_order(tmp_path: Path) -> None:
    made = images(tmp_path, 2, "RGB")
    stored = normalize(mapping(2), tmp_path, PixelSpec(size=16, channels="rgb"))
    np.testing.assert_array_equal(np.rint(from_grid(stored) * 255), np.stack(made).transpose(0, 3, 1, 2))


def test_the_frames_of_a_file_are_told_apart(tmp_path: Path) -> None:
    dicom(tmp_path / "clip.dcm", "p", 4, 0)
    chosen = pd.DataFrame({"path": "clip.dcm", "frame": [2, 0, 3]})
    together = normalize(chosen, tmp_path, PixelSpec(size=8))
    expected = pydicom.dcmread(tmp_path / "clip.dcm").pixel_array[[2, 0, 3]]
    np.testing.assert_array_equal(np.rint(from_grid(together)[:, 0] * 255), expected)
    with pytest.raises(StudyError, match=r"clip\.dcm has no frame 4 any more"):
        normalize(chosen.assign(frame=4), tmp_path, PixelSpec(size=8))


def test_a_file_that_cannot_be_read_any_more_stops_with_its_name(tmp_path: Path) -> None:
    images(tmp_path)
    (tmp_path / "3").write_text("no image")
    with pytest.raises(StudyError, match="3 was accepted by the index and cannot be read now: not a DICOM"):
        normalize(mapping(), tmp_path, SPEC)
    (tmp_path / "1").unlink()
    with pytest.raises(StudyError, match="1 was accepted by the index and cannot be read now"):
        normalize(mapping(), tmp_path, SPEC)


@pytest.mark.parametrize(("channels", "count"), [("grey", 1), ("rgb", 3)])
def test_the_store_is_laid_out_for_every_sample(tmp_path: Path, channels: str, count: int) -> None:
    spec = PixelSpec.model_validate({"size": 16, "channels": channels})
    lay_out_images(mapping(7), spec, 3, tmp_path)
    rows = Rows(tmp_path)
    assert (len(rows), rows.shape, rows.dtype) == (7, (count, 16, 16), np.uint16)
    assert rows.attributes["kind"] == "pixels"


def test_the_program_fills_shards_of_files_with_odd_names(tmp_path: Path) -> None:
    names = ["NA", "1e5", "null", "0123", "a b.png"]
    made = images(tmp_path)
    for number, name in enumerate(names):
        (tmp_path / str(number)).rename(tmp_path / name)
    pd.DataFrame({"id": "x", "path": names, "frame": 0}).to_csv(tmp_path / "mapping.csv", index=False)
    store = tmp_path / "images.zarr"
    common = [sys.executable, "-m", "pipeline.normalize", "--mapping", str(tmp_path / "mapping.csv")]
    common += ["--spec", SPEC.written(), "--store", str(store)]
    subprocess.run([*common, "--shards", "2"], check=True)
    manifests = [tmp_path / "images" / f"{shard}.json" for shard in range(2)]
    for shard, manifest in enumerate(manifests):
        arguments = ["--root", str(tmp_path), "--shard", str(shard), "--manifest", str(manifest)]
        subprocess.run([*common, *arguments], check=True)
    check(store, manifests)
    np.testing.assert_array_equal(np.rint(Rows(store).read(0, 5)[:, 0] * 255), np.stack(made))
    recorded = json.loads(manifests[1].read_text())
    assert (recorded["start"], recorded["stop"]) == (3, 5)
    assert recorded["made_by"]["pixels"]["size"] == 16
    assert not any(name in manifests[0].read_text() for name in ("NA", "1e5", "null,"))
