import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydantic import ValidationError
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from pipeline import families
from pipeline.benchmarks import BenchmarkSpec, Row
from pipeline.benchmarks.drawing.shapes import Grid, chord, noise, step
from pipeline.benchmarks.drawing.ventricles import speckle
from pipeline.errors import StudyError
from pipeline.synthesize import main, read, synthesize

FAMILIES = families.names("benchmarks")
Written = tuple[Path, list[Row]]


def make(family: str, **options: int) -> BenchmarkSpec:
    return read(json.dumps({"family": family, **options}))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """Eight patients of every family."""
    folders = {family: tmp_path_factory.mktemp(family) for family in FAMILIES}
    return {family: (folder, make(family, patients=8).write(folder)) for family, folder in folders.items()}


def datasets(written: Written) -> list[pydicom.Dataset]:
    folder, rows = written
    return [pydicom.dcmread(folder / row.path) for row in rows]


def test_there_is_one_benchmark_for_each_modality_and_one_to_pretrain_on() -> None:
    assert FAMILIES == ["chest-radiography", "computed-tomography", "dermatoscopy", "echocardiography", "figures"]


@pytest.mark.parametrize("family", FAMILIES)
def test_shares_of_the_classes_add_to_one_and_are_met(family: str) -> None:
    spec = make(family)
    assert sum(spec.prevalence().values()) == pytest.approx(1)
    labels = [label for patient in range(spec.patients) for label in spec.labels(patient)]
    count = Counter(labels)
    for name, share in spec.prevalence().items():
        assert count[name] == pytest.approx(share * len(labels), rel=0.15, abs=3)


@pytest.mark.parametrize("seed", range(20))
def test_chest_findings_have_a_long_tail_of_at_least_20_to_1(seed: int) -> None:
    spec = make("chest-radiography", seed=seed)
    count = Counter(label for patient in range(spec.patients) for label in spec.labels(patient))
    assert list(count) != [] and set(count) == set(spec.classes())
    assert max(count.values()) >= 20 * min(count.values())
    assert count.most_common()[0][0] == "No Finding"


@pytest.mark.parametrize("family", FAMILIES)
def test_same_spec_writes_the_same_bytes_and_more_patients_leave_the_earlier_ones_alone(
    family: str, written: dict[str, Written], tmp_path: Path
) -> None:
    folder, rows = written[family]
    again = make(family, patients=3).write(tmp_path)
    assert again == rows[: len(again)]
    assert all((tmp_path / row.path).read_bytes() == (folder / row.path).read_bytes() for row in again)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_seed_draws_other_images(family: str, written: dict[str, Written], tmp_path: Path) -> None:
    row = make(family, patients=1, seed=1).write(tmp_path)[0]
    assert (tmp_path / row.path).read_bytes() != (written[family][0] / row.path).read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_known_without_drawing_and_patients_have_several_images(
    family: str, written: dict[str, Written]
) -> None:
    spec, (folder, rows) = make(family, patients=8), written[family]
    assert [row.label for row in rows] == [label for patient in range(8) for label in spec.labels(patient)]
    images: Counter[str] = Counter()
    for row in rows:
        frames = 1 if row.path.endswith(".png") else int(pydicom.dcmread(folder / row.path).get("NumberOfFrames", 1))
        images[row.id] += frames
    assert len(images) == 8 and min(images.values()) >= 3


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("dermatoscopy", "figures")])
def test_dicom_files_are_complete_and_their_patients_invented(family: str, written: dict[str, Written]) -> None:
    files = datasets(written[family])
    for row, file in zip(written[family][1], files, strict=True):
        assert file.PatientID == str(file.PatientName) == row.id and row.id.startswith("SYN-")
        assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID
        assert file.file_meta.MediaStorageSOPClassUID == file.SOPClassUID
        assert all(pydicom.uid.UID(uid).is_valid for uid in (file.SOPInstanceUID, file.StudyInstanceUID))
        assert file.pixel_array.shape[-2:] == (96, 96)
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    patients = {file.StudyInstanceUID: file.PatientID for file in files}
    assert len(set(patients.values())) == 8


def test_chest_files_mix_photometric_interpretations_and_transfer_syntaxes(written: dict[str, Written]) -> None:
    files = datasets(written["chest-radiography"])
    assert {file.PhotometricInterpretation for file in files} == {"MONOCHROME1", "MONOCHROME2"}
    syntaxes = {file.file_meta.TransferSyntaxUID for file in files}
    assert syntaxes == {ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless}
    assert all((file.BitsAllocated, file.BitsStored, file.PixelRepresentation) == (16, 12, 0) for file in files)
    assert all(file.pixel_array.min() >= 0 and file.pixel_array.max() <= 4095 for file in files)
    assert len({float(file.RescaleSlope) for file in files}) > 1


def test_every_chest_file_shows_bone_white_and_air_black_through_its_window(written: dict[str, Written]) -> None:
    for file in datasets(written["chest-radiography"]):
        values = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
        shown = np.clip((values - float(file.WindowCenter)) / float(file.WindowWidth) + 0.5, 0, 1)
        shown = 1 - shown if file.PhotometricInterpretation == "MONOCHROME1" else shown
        corner, spine, lung = shown[:3, :10].mean(), shown[60:70, 46:50].mean(), shown[45:55, 27:33].mean()
        assert corner < 0.05 < lung < 0.65 < spine
        assert ((shown > 0.01) & (shown < 0.99)).mean() > 0.5


def test_ct_values_are_hounsfield_units_after_the_rescale(written: dict[str, Written]) -> None:
    files = datasets(written["computed-tomography"])
    assert {float(file.RescaleIntercept) for file in files} == {-1024.0, 0.0}
    for file in files:
        assert (file.BitsStored, file.PixelRepresentation, float(file.RescaleSlope)) == (16, 1, 1.0)
        hounsfield = file.pixel_array * 1.0 + float(file.RescaleIntercept)
        assert hounsfield[:5].mean() == pytest.approx(-1000, abs=10)
        assert ((hounsfield > -910) & (hounsfield < -650)).mean() > 0.08
        assert np.abs(hounsfield - 40).min() < 1 and 300 < hounsfield.max() < 1200


def test_ct_slices_of_a_patient_are_one_series_in_space(written: dict[str, Written]) -> None:
    series: dict[str, list[pydicom.Dataset]] = {}
    for file in datasets(written["computed-tomography"]):
        series.setdefault(file.SeriesInstanceUID, []).append(file)
    for slices in series.values():
        heights = [float(file.ImagePositionPatient[2]) for file in slices]
        assert len(slices) == 4 and np.allclose(np.diff(heights), 12)
        assert len({(file.FrameOfReferenceUID, float(file.RescaleIntercept)) for file in slices}) == 1


def test_echo_files_hold_several_different_8_bit_frames(written: dict[str, Written]) -> None:
    for file in datasets(written["echocardiography"]):
        frames = file.pixel_array
        assert frames.shape == (4, 96, 96) and file.NumberOfFrames == 4 and frames.dtype == np.uint8
        assert (file.BitsAllocated, file.BitsStored, file.PhotometricInterpretation) == (8, 8, "MONOCHROME2")
        assert all((frames[0] != frame).any() for frame in frames[1:])
        assert frames[:, -1, 0].max() == 0  # outside the sector


def test_dermatoscopy_files_are_colour_png(written: dict[str, Written]) -> None:
    folder, rows = written["dermatoscopy"]
    for row in rows:
        with Image.open(folder / row.path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (96, 96))
            red, _, blue = np.asarray(image).reshape(-1, 3).mean(axis=0)
            assert red > blue


@pytest.mark.parametrize("family", FAMILIES)
def test_size_of_the_files_follows_the_spec(family: str, tmp_path: Path) -> None:
    path = tmp_path / make(family, patients=1, size=128).write(tmp_path)[0].path
    shape = Image.open(path).size if path.suffix == ".png" else pydicom.dcmread(path).pixel_array.shape[-2:]
    assert tuple(shape) == (128, 128)


def test_tables_describe_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, labels, inventory = (tmp_path / "deep" / name for name in ("ct", "ct.labels.csv", "ct.inventory.csv"))
    entry = json.dumps({"family": "computed-tomography", "patients": 2})
    arguments = ["--spec", entry, "--folder", str(folder), "--labels", str(labels), "--inventory", str(inventory)]
    monkeypatch.setattr("sys.argv", ["synthesize", *arguments])
    main()
    listing, table = pd.read_csv(inventory), pd.read_csv(labels)
    on_disk = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm"))
    assert list(listing.columns) == ["path", "bytes", "stamp"] and list(table.columns) == ["path", "id", "label"]
    assert list(listing.path) == sorted(table.path) == on_disk
    for path, size, stamp in listing.itertuples(index=False):
        content = (folder / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, stamp)
    assert set(table.label) <= set(read(entry).classes())
    assert sorted(path.name for path in folder.parent.iterdir()) == ["ct", "ct.inventory.csv", "ct.labels.csv"]


def test_rerun_replaces_the_folder_whole(tmp_path: Path) -> None:
    places = (tmp_path / "ct", tmp_path / "labels.csv", tmp_path / "inventory.csv")
    synthesize(make("computed-tomography", patients=3), *places)
    (places[0] / "p0002" / "stray.dcm").write_bytes(b"stale")
    synthesize(make("computed-tomography", patients=2), *places)
    assert sorted(path.name for path in places[0].iterdir() if path.is_dir()) == ["p0000", "p0001"]
    assert set(pd.read_csv(places[1]).id) == {"SYN-0000", "SYN-0001"}


def test_interrupted_run_leaves_the_earlier_folder_and_the_next_run_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (tmp_path / "ct", tmp_path / "labels.csv", tmp_path / "inventory.csv")
    spec = make("computed-tomography", patients=2)
    synthesize(spec, *places)
    before = places[2].read_bytes()

    def killed(self: BenchmarkSpec, patient: int, folder: Path) -> list[Row]:
        (folder / "p0000").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(spec), "write_patient", killed)
        with pytest.raises(KeyboardInterrupt):
            synthesize(spec, *places)
    assert len(list(places[0].rglob("*.dcm"))) == 8 and places[2].read_bytes() == before
    synthesize(spec, *places)
    assert places[2].read_bytes() == before and not (tmp_path / ".ct.partial").exists()


def test_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "patients"
    folder.mkdir()
    (folder / "real.dcm").write_bytes(b"private")
    with pytest.raises(StudyError, match="was not written by this stage"):
        synthesize(make("dermatoscopy", patients=1), folder, tmp_path / "l.csv", tmp_path / "i.csv")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(StudyError, match="was not written by this stage"):
        synthesize(make("dermatoscopy", patients=1), tmp_path / "link", tmp_path / "l.csv", tmp_path / "i.csv")
    assert (folder / "real.dcm").read_bytes() == b"private"


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_key_is_refused(family: str) -> None:
    with pytest.raises(ValidationError, match="patient"):
        make(family, patient=3)


@pytest.mark.parametrize("text", ["{", "[]", '{"family": "histology"}', "{}"])
def test_entry_that_names_no_benchmark_is_refused(text: str) -> None:
    with pytest.raises(StudyError):
        read(text)


def test_area_of_an_ellipse_and_volume_of_a_sphere_are_right() -> None:
    grid = Grid.square(200, 10.0)
    assert grid.ellipse(0.5, -0.3, 3, 2, 20).sum() * grid.pixel**2 == pytest.approx(np.pi * 6, rel=0.02)
    volume = 2 * 3 * chord(grid.radius(0, 0, 3, 3)).sum() * grid.pixel**2
    assert volume == pytest.approx(4 / 3 * np.pi * 27, rel=0.005)
    assert step(np.zeros(1), 1.0)[0] == 0.5


def test_speckle_has_the_spread_that_theory_gives() -> None:
    rng, grid = np.random.default_rng(0), Grid.square(384, 17.0)
    assert speckle(rng, grid, 1).std() == pytest.approx(5.57, rel=0.1)
    assert speckle(rng, grid, 9).std() == pytest.approx(5.57 / 3, rel=0.1)


def test_noise_is_standardised_and_correlated() -> None:
    field = noise(np.random.default_rng(0), (256, 256), 2.0)
    assert (field.mean(), field.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    # A Gaussian kernel of width s gives the autocorrelation exp(-lag^2 / 4 s^2).
    assert (field[:, 2:] * field[:, :-2]).mean() == pytest.approx(np.exp(-0.25), abs=0.05)
