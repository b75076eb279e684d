"""The families of public data sets, against miniature copies of their official layouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import families
from pipeline.datasets import DatasetSpec, Listed
from pipeline.errors import StudyError
from tests.layouts import computed_tomography, photographs, radiography
from tests.layouts.drawing import draw, write_table

Build = Callable[[Path], dict[str, Any]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listed(entry: dict[str, Any], **changes: object) -> list[Listed]:
    spec = families.spec("datasets", {**entry, **changes})
    assert isinstance(spec, DatasetSpec)
    assert all(Path(table).is_file() for table in spec.tables())
    root = Path(spec.root)
    return spec.listed([str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()])


def parts(entries: list[Listed]) -> dict[str | None, int]:
    named = [entry.part for entry in entries]
    return {part: named.count(part) for part in sorted(set(named), key=str)}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


RAW = Path("raw")


class TestMimic:
    def test_images_have_the_labels_of_their_study_and_the_official_part(self) -> None:
        entries = listed(radiography.mimic_cxr(RAW))
        assert parts(entries) == {"test": 16, "train": 24, "validation": 8}
        found = {entry.path: entry for entry in entries}
        first = found[radiography.place(0, 1)]
        assert (first.patient, first.labels, first.part) == (
            "10000000",
            {"Cardiomegaly": False, "Edema": False},
            "train",
        )
        assert found[radiography.place(0, 0)].labels == {"Cardiomegaly": False}, "-1 was taken for missing"
        assert found[radiography.place(4, 1)].labels == {"Edema": False}, "an empty cell is missing"
        assert len({entry.patient for entry in entries}) == 24

    def test_lateral_views_are_left_out_only_if_views_are_chosen(self) -> None:
        entry = radiography.mimic_cxr(RAW)
        assert len(listed(entry, views=[])) == 49
        assert len(listed(entry, views=["PA"])) == 24
        with pytest.raises(StudyError, match="'views' asks for 'LL', and no table has an image of it"):
            listed(entry, views=["LL"])
        with pytest.raises(StudyError, match="is 'metadata' given"):
            listed(entry, metadata=None)

    def test_uncertain_findings_stop_without_a_meaning(self) -> None:
        with pytest.raises(StudyError, match=r"'Edema' of .* holds -1"):
            listed({**radiography.mimic_cxr(RAW), "uncertain": None})

    def test_the_dicom_tree_and_plain_tables_do_as_well(self) -> None:
        entry = radiography.mimic_cxr(RAW)
        for image in sorted(Path(entry["root"]).rglob("*.jpg")):
            image.rename(image.with_suffix(".dcm"))
        entries = listed(entry)
        assert len(entries) == 48
        assert all(entry.path.endswith(".dcm") for entry in entries)

    def test_both_trees_at_once_are_refused(self) -> None:
        entry = radiography.mimic_cxr(RAW)
        image = sorted(Path(entry["root"]).rglob("*.jpg"))[0]
        image.with_suffix(".dcm").touch()
        with pytest.raises(StudyError, match="several images of one name"):
            listed(entry)

    def test_studies_without_a_row_are_unlabelled_by_decision_only(self) -> None:
        entry = radiography.mimic_cxr(RAW)
        labels = RAW / "chexpert.csv"
        row = ["10000001", radiography.study(1, 0), "1", "0"]
        write_table(labels, ["subject_id", "study_id", "Cardiomegaly", "Edema"], [row])
        with pytest.raises(StudyError, match="47 of 48 images have no label"):
            listed(entry, labels=str(labels))
        assert len(listed(entry, labels=str(labels), unlabelled="keep")) == 48
        assert len(listed(entry, labels=str(labels), unlabelled="drop")) == 1

    def test_images_outside_the_split_stop_the_study(self) -> None:
        entry = radiography.cxr_lt(RAW)
        split = [[radiography.dicom_id(0, 0), radiography.study(0, 0), "10000000", "train"]]
        write_table(RAW / "split.csv", ["dicom_id", "study_id", "subject_id", "split"], split)
        with pytest.raises(StudyError, match="in no part of 'split_table'"):
            listed(entry, labels=entry["labels"]["train"], split_table="raw/split.csv")

    def test_missing_images_are_listed_where_they_should_be(self) -> None:
        entry = radiography.mimic_cxr(RAW)
        Path(entry["root"], radiography.place(3, 1)).unlink()
        assert radiography.place(3, 1) in [entry.path for entry in listed(entry)]

    def test_a_folder_of_another_subject_than_the_table_says_stops_the_study(self) -> None:
        entry = radiography.mimic_cxr(RAW)
        folder = Path(entry["root"], radiography.place(3, 1)).parent
        folder.rename(folder.parent.parent / "p10000004" / folder.name)
        with pytest.raises(StudyError, match="do not agree on whose an image is") as raised:
            listed(entry)
        assert "p10000004" in raised.value.detail

    def test_cxr_lt_has_a_table_for_each_part(self) -> None:
        entries = listed(radiography.cxr_lt(RAW))
        assert parts(entries) == {"test": 16, "train": 24, "validation": 8}
        assert {tuple(entry.labels) for entry in entries} == {("Cardiomegaly", "Edema")}

    def test_first_label_knows_findings_that_are_not_declared(self) -> None:
        """Otherwise a sample with another finding alone would pass for one that has nothing."""
        entries = listed(radiography.cxr_lt(RAW), task="first-label")
        assert {tuple(entry.labels) for entry in entries} == {("Atelectasis", "Cardiomegaly", "Edema")}

    def test_the_single_label_variant_names_images_by_path_alone(self) -> None:
        radiography.cxr_lt(RAW)
        rows = [[f"mimic-cxr-jpg/{radiography.place(n, 0)}", int(n % 2 == 0), n % 2] for n in range(8)]
        write_table(RAW / "mimic-cxr-lt_single-label_train.csv", ["path", "Cardiomegaly", "No Finding"], rows)
        entry = {"family": "mimic-cxr", "root": "raw/mimic-cxr-jpg", "pixels": {"size": 8}}
        labels, classes = "raw/mimic-cxr-lt_single-label_train.csv", ["Cardiomegaly", "No Finding"]
        entries = listed(entry, labels=labels, classes=classes)
        assert [entry.patient for entry in entries] == [f"1{n:07d}" for n in range(8)]
        assert [entry.path for entry in entries] == [radiography.place(n, 0) for n in range(8)]

    def test_without_labels_every_image_is_listed(self) -> None:
        entry = {"family": "mimic-cxr", "root": radiography.cxr_lt(RAW)["root"], "pixels": {"size": 8}}
        assert {entry.patient for entry in listed(entry)} == {f"1{n:07d}" for n in range(24)}
        (RAW / "mimic-cxr-jpg" / "elsewhere.jpg").touch()
        with pytest.raises(StudyError, match=r"1 images below .* do not lie in a folder p<subject>/s<study>"):
            listed(entry)

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"classes": ["a"], "task": "multi-label"}, "has 'labels'"),
            ({"labels": {"train": "a.csv"}, "split_table": "s.csv"}, "not of both"),
        ],
    )
    def test_keys_that_contradict_each_other_are_refused(self, keys: dict[str, Any], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            families.spec("datasets", {"family": "mimic-cxr", "root": "r", "pixels": {"size": 8}, **keys})


class TestNih:
    def test_images_lie_in_any_folder_and_have_the_official_parts(self) -> None:
        entries = listed(radiography.nih_cxr14(RAW))
        assert parts(entries) == {"test": 18, "train": 42}
        assert entries[0].path == "images_001/images/00000002_000.png"
        assert entries[0].patient == "2"

    def test_several_findings_are_told_apart(self) -> None:
        entry = {**radiography.nih_cxr14(RAW), "task": "multi-label"}
        found = {entry.path.rsplit("/", 1)[-1]: entry.labels for entry in listed(entry)}
        assert found["00000002_001.png"] == {"No Finding": False, "Effusion": False, "Mass": True}
        assert found["00000003_000.png"] == {"No Finding": True, "Effusion": False, "Mass": False}
        first = {entry.path.rsplit("/", 1)[-1]: entry.labels for entry in listed(radiography.nih_cxr14(RAW))}
        assert list(first["00000002_001.png"]) == ["Mass", "Nodule"]

    def test_a_class_that_is_no_finding_is_named(self) -> None:
        with pytest.raises(StudyError, match=r"the class 'Masses' .* no such finding"):
            listed(radiography.nih_cxr14(RAW), classes=["Effusion", "Masses"])

    def test_lists_that_are_no_split_stop_the_study(self) -> None:
        entry = radiography.nih_cxr14(RAW)
        (RAW / "test_list.txt").write_text("00000001_000.png\n")
        with pytest.raises(StudyError, match=r"1 images are in both .*, and 18 in neither"):
            listed(entry)
        with pytest.raises(ValueError, match="'train_list' and 'test_list' together"):
            listed(entry, test_list=None)

    def test_without_lists_there_is_no_official_split_and_views_can_be_chosen(self) -> None:
        entry = radiography.nih_cxr14(RAW)
        edit(RAW / "Data_Entry_2017.csv", ",PA,", ",AP,")
        entries = listed(entry, train_list=None, test_list=None, views=["PA"])
        assert parts(entries) == {None: 59}


class TestIsic:
    def test_the_lesion_is_the_group_and_images_without_one_are_alone(self) -> None:
        entries = listed(photographs.isic_2019(RAW))
        groups = {entry.path.rsplit("/", 1)[-1]: entry.patient for entry in entries}
        assert groups["ISIC_0000000.jpg"] == groups["ISIC_0000001.jpg"] == "BCN_0000000"
        assert groups["ISIC_0000006_downsampled.jpg"] == groups["ISIC_0000007_downsampled.jpg"] == "BCN_0000003"
        assert groups["ISIC_0000010.jpg"] == "ISIC_0000010"
        assert parts(entries) == {"test": 10, "train": 36}, "unknown images are left out"

    def test_unknown_images_are_there_unless_they_are_left_out(self) -> None:
        entries = listed({**photographs.isic_2019(RAW), "leave_out": []})
        assert sum(entry.labels["UNK"] for entry in entries if "UNK" in entry.labels) == 2

    def test_names_match_with_and_without_the_mark_of_reduced_images(self) -> None:
        entry = photographs.isic_2019(RAW)
        for image in (RAW / "ISIC_2019_Training_Input").glob("*_downsampled.jpg"):
            image.rename(image.with_name(image.name.replace("_downsampled", "")))
        edit(RAW / "ISIC_2019_Training_Metadata.csv", "ISIC_0000007_downsampled", "ISIC_0000007")
        groups = {entry.path.rsplit("/", 1)[-1]: entry.patient for entry in listed(entry)}
        assert groups["ISIC_0000006.jpg"] == groups["ISIC_0000007.jpg"] == "BCN_0000003"

    def test_images_without_a_lesion_can_stop_the_study_or_be_left_out(self) -> None:
        entry = photographs.isic_2019(RAW)
        with pytest.raises(StudyError, match="14 of 48 images have no lesion"):
            listed(entry, without_lesion="stop")
        # The test part has no lesions at all.
        assert parts(listed(entry, without_lesion="drop")) == {"train": 34}

    @pytest.mark.parametrize(("build", "labels"), [(photographs.isic_2018, "MEL"), (photographs.ham10000, "mel")])
    def test_two_images_of_a_lesion_are_one_group(self, build: Build, labels: str) -> None:
        entries = listed(build(RAW))
        assert len(entries) == 24
        assert len({entry.patient for entry in entries}) == 12
        assert sum(entry.labels.get(labels, False) for entry in entries) == 12

    def test_tables_that_disagree_on_a_lesion_stop_the_study(self) -> None:
        entry = photographs.isic_2018(RAW)
        write_table(RAW / "more.csv", ["image", "lesion_id"], [["ISIC_0024306", "HAM_9"]])
        with pytest.raises(StudyError, match="names another lesion for an image than before"):
            listed(entry, lesions=[*entry["lesions"], "raw/more.csv"])


class TestCardium:
    def test_each_image_counts_once_in_the_fold_that_tests_on_it(self) -> None:
        entries = listed(photographs.cardium(RAW))
        assert [entry.fold for entry in entries] == [0] * 12 + [1] * 12 + [2] * 12
        assert all("/test/" in entry.path for entry in entries)
        assert len({entry.patient for entry in entries}) == 18

    def test_the_undivided_set_has_no_folds(self) -> None:
        entries = listed(photographs.cardium_undivided(RAW))
        assert {entry.fold for entry in entries} == {None}
        assert entries[0] == Listed(
            "CHD/aedxf00000rrfgkl0/0_aedxf00000rrfgkl0.png", "aedxf00000rrfgkl0", {"CHD": True, "Non_CHD": False}
        )

    def test_both_at_once_an_incomplete_fold_and_another_number_are_refused(self) -> None:
        entry = photographs.cardium(RAW)
        with pytest.raises(StudyError, match="has 3 official folds; set 'folds' to 3"):
            listed(entry, folds=5)
        image = sorted((RAW / "cardium_images" / "fold_1" / "test").rglob("*.png"))[0]
        image.unlink()
        with pytest.raises(StudyError, match="2 images are in no official fold's test part, and 0 in several"):
            listed(entry)
        photographs.cardium_undivided(RAW)
        (RAW / "CARDIUM_dataset" / "figure.png").touch()
        with pytest.raises(StudyError, match=r"has 1 images that are not in CHD/<patient> or Non_CHD/<patient>"):
            listed({**entry, "root": "raw/CARDIUM_dataset"})
        (RAW / "CARDIUM_dataset" / "figure.png").unlink()
        with pytest.raises(StudyError, match="both the official folds and the undivided data set"):
            listed({**entry, "root": "raw"})

    def test_its_file_list_chooses_images_and_parts(self) -> None:
        photographs.cardium_undivided(RAW)
        paths = [f"CHD/aedxf{n:05d}rrfgkl0/0_aedxf{n:05d}rrfgkl0.png" for n in (0, 2)]
        paths += ["Non_CHD/aedxf00001rrfgkl0/0_aedxf00001rrfgkl0.png"]
        rows = [[n, path, n, int(n < 2), int(n == 2), "TRAIN"] for n, path in enumerate(paths)]
        write_table(RAW / "cardium.csv", ["index", "path", "id", "CHD", "Non_CHD", "Split"], rows)
        entry = {"family": "cardium", "root": "raw/CARDIUM_dataset", "pixels": {"size": 8}, "labels": "raw/cardium.csv"}
        assert [entry.path for entry in listed(entry)] == paths
        edit(RAW / "cardium.csv", "1,0,TRAIN", "0,1,TRAIN")
        with pytest.raises(StudyError, match="and the folder of an image name different classes"):
            listed(entry)


class TestCtRate:
    def test_volumes_have_their_patient_and_part(self) -> None:
        entries = listed(computed_tomography.ct_rate(RAW))
        assert parts(entries) == {"test": 10, "train": 17}
        assert entries[0].path == "train_fixed/train_1/train_1_a/train_1_a_1.nii.gz"
        assert entries[0].patient == entries[1].patient == "train_1"
        assert entries[0].labels == {"Pleural effusion": True, "Lung opacity": False}
        assert not any("train_16_" in entry.path for entry in entries), "it is no chest"

    def test_one_reconstruction_of_each_scan_can_be_taken(self) -> None:
        assert len(listed(computed_tomography.ct_rate(RAW), reconstructions="first")) == 23

    def test_metadata_choose_volumes(self) -> None:
        entry = computed_tomography.ct_rate(RAW)
        names = [path.rsplit("/", 1)[-1] for path in (item.path for item in listed(entry))]
        rows = [[name, "PNMS" if "train_1_" in name else "Siemens"] for name in names]
        write_table(RAW / "metadata.csv", ["VolumeName", "Manufacturer"], rows)
        chosen = listed(entry, metadata=["raw/metadata.csv"], where={"Manufacturer": ["PNMS"]}, partial=True)
        assert {item.patient for item in chosen} == {"train_1"}

    def test_the_first_edition_is_refused(self) -> None:
        entry = computed_tomography.ct_rate(RAW)
        (RAW / "dataset" / "train_fixed").rename(RAW / "dataset" / "train")
        with pytest.raises(StudyError, match=r"first edition .* not in Hounsfield units; take those of 'train_fixed'"):
            listed(entry)

    def test_segmentations_of_the_same_name_are_no_volumes(self) -> None:
        entry = computed_tomography.ct_rate(RAW)
        mask = RAW / "dataset" / "ts_seg" / "ts_total" / "train_fixed" / "train_1" / "train_1_a"
        mask.mkdir(parents=True)
        (mask / "train_1_a_1.nii.gz").touch()
        assert len(listed(entry)) == 27

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"pixels": {"size": 8}}, "needs pixels.intensity 'window'"),
            ({"pixels": {"size": 8, "intensity": "window", "window": [-1, 1]}}, r"set pixels\.hounsfield to true"),
            ({"samples": "volumes"}, "'samples: volumes' belongs to 'unit: series'"),
            ({"where": {"Manufacturer": ["PNMS"]}}, "'where' selects by 'metadata'"),
        ],
    )
    def test_keys_that_would_spoil_the_values_are_refused(self, keys: dict[str, Any], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            families.spec("datasets", {**computed_tomography.ct_rate(RAW), **keys})


def test_every_family_refuses_a_wrong_root(tmp_path: Path) -> None:
    """All files missing: nothing is right then, whatever the tables say."""
    builds = [radiography.mimic_cxr, radiography.nih_cxr14, photographs.isic_2018, computed_tomography.ct_rate]
    for build in builds:
        entry = build(tmp_path / build.__name__ / "raw")
        spec = families.spec("datasets", {**entry, "root": "elsewhere", "partial": True})
        assert isinstance(spec, DatasetSpec)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(StudyError, match="'root' is probably wrong"):
            patch.chdir(tmp_path / build.__name__)
            spec.listed(["a.png"])


def test_every_family_has_a_layout() -> None:
    from tests.test_layouts import LAYOUTS

    run = {build(RAW / name)["family"] for name, build in LAYOUTS.items()}
    assert run == set(families.names("datasets"))


def test_drawings_differ(tmp_path: Path) -> None:
    """Images with the same pixels would be merged into one group, and the numbers of patients be others."""
    for seed in range(3):
        draw(tmp_path / f"{seed}.png", 100, seed)
    assert len({(tmp_path / f"{seed}.png").read_bytes() for seed in range(3)}) == 3
