"""A configuration is read whole, or refused with one sentence that names what is wrong."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import families
from pipeline.errors import StudyError
from pipeline.study import NAME, Study, expand

ROOT = Path(__file__).parent.parent
GOOD: dict[str, Any] = {
    "benchmarks": {"echo": {"family": "echocardiography", "patients": 20, "seed": 4}},
    "datasets": {
        "mine": {"family": "folders", "root": "images", "pixels": {"size": 16}, "classes": ["a", "b"]},
        "plain": {"family": "folders", "root": "results/benchmarks/echo", "pixels": {"size": 16}},
    },
    "autoencoders": {"lossy": {"family": "lossy", "stride": 8}, "pixels": {"family": "identity"}},
    "heads": {"near": {"family": "knn"}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the good configuration with one entry changed."""
    config = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    entry = config
    for parent in parents:
        entry = entry[parent]
    entry[last] = value
    return config


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(StudyError) as raised:
        Study(config)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("fidelity", "key", "meant"),
    [
        ({"lpip": "w"}, "fidelity.lpip", "lpips"),
        ({"features": {"model": "m", "weights": "w", "wights": "w"}}, "fidelity.features.wights", "weights"),
    ],
)
def test_a_misspelt_measure_is_named(fidelity: dict[str, Any], key: str, meant: str) -> None:
    told = refused(changed("fidelity", fidelity))
    assert told == f"the configuration: {key}: there is no such key; did you mean '{meant}'?"


def test_what_measures_names_its_files_and_the_images_that_are_too_small_for_it() -> None:
    found = Study(changed("fidelity", {"features": {"model": "m", "weights": "f"}})).entries.fidelity
    assert list(found.files()) == [("features", "f")]
    assert list(Study(GOOD).entries.fidelity.files()) == []
    message = refused(changed("fidelity", {"lpips": "w"}))
    assert message == "datasets: mine: LPIPS needs images of at least 31 x 31 pixels; set a larger 'size'"
    large = changed("fidelity", {"lpips": "w"})
    for dataset in large["datasets"].values():
        dataset["pixels"] = {"size": 31}
    assert list(Study(large).entries.fidelity.files()) == [("lpips", "w")]


def test_a_good_study_is_read() -> None:
    study = Study(GOOD)
    assert study.baseline() == "pixels"
    assert study.labelled() == ["mine"]
    assert study.generated("plain") == "echo"
    assert study.generated("mine") is None


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_the_studies_of_this_project_are_read(file: Path) -> None:
    Study(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("path", "where", "meant"),
    [
        ("titel", "the configuration: titel: ", "title"),
        ("datasets.mine.clases", "datasets: mine: clases: ", "classes"),
        ("datasets.mine.pixels.sise", "datasets: mine: pixels.sise: ", "size"),
        ("autoencoders.lossy.strides", "autoencoders: lossy: strides: ", "stride"),
        ("heads.near.neighbors", "heads: near: neighbors: ", "neighbours"),
        ("benchmarks.echo.patient", "benchmarks: echo: patient: ", "patients"),
    ],
)
def test_a_misspelt_key_is_named_in_every_section_with_the_one_that_is_meant(path: str, where: str, meant: str) -> None:
    assert refused(changed(path, 1)) == f"{where}there is no such key; did you mean '{meant}'?"


def test_of_a_key_that_is_like_no_other_all_are_told() -> None:
    told = refused(changed("autoencoders.lossy.qqq", 1))
    assert told == "autoencoders: lossy: qqq: there is no such key; there are family, latent_dtype, space, stride, tile"


@pytest.mark.parametrize("kind", ["datasets", "autoencoders", "heads", "benchmarks"])
def test_an_unknown_family_is_answered_with_those_that_exist(kind: families.Kind) -> None:
    name = next(iter(GOOD[kind]))
    message = refused(changed(f"{kind}.{name}.family", "nonesuch"))
    assert message.startswith(f"{kind}: {name}: there is no family 'nonesuch'")
    assert all(family in message for family in families.names(kind))
    config = copy.deepcopy(GOOD)
    del config[kind][name]["family"]
    assert f"an entry of {kind} has no 'family'" in refused(config)


@pytest.mark.parametrize("kind", ["datasets", "autoencoders", "heads"])
def test_a_section_that_is_missing_or_empty_is_named(kind: str) -> None:
    assert f"the configuration: {kind}: " in refused({key: value for key, value in GOOD.items() if key != kind})
    assert f"the configuration: {kind}: " in refused(changed(kind, {}))
    assert f"the configuration: {kind}.x: " in refused(changed(f"{kind}.x", None))


def test_a_study_without_the_pixel_baseline_is_refused() -> None:
    config = copy.deepcopy(GOOD)
    del config["autoencoders"]["pixels"]
    assert "has no autoencoder of the family 'identity'" in refused(config)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "a_b", "-a", "a.b", "ä", "a\n", "{a}"])
@pytest.mark.parametrize("kind", ["datasets", "autoencoders", "heads", "benchmarks"])
def test_a_name_that_cannot_be_a_folder_is_refused(kind: str, name: str) -> None:
    config = copy.deepcopy(GOOD)
    config[kind][name] = next(iter(GOOD[kind].values()))
    assert f"the configuration: {kind}: " in refused(config)


@given(st.text(max_size=8))
def test_a_name_that_passes_is_one_plain_part_of_a_path(name: str) -> None:
    if NAME.fullmatch(name):
        assert Path("x", name).name == name
        assert name.isascii()
        assert set(name) <= set("-" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("seeds", [], "seeds"),
        ("seeds", [0, 1, 0], "seeds must be different"),
        ("seeds", [-1], "seeds must be different numbers from 0"),
        ("replicates", 99, "replicates"),
        ("heads.near.protocol", "paper2", "heads: near: protocol"),
        ("datasets.mine.folds", 2, "datasets: mine: folds"),
        ("datasets.mine.shards", 0, "datasets: mine: shards"),
        ("datasets.mine.frames", 0, "datasets: mine: frames"),
        ("datasets.mine.classes", [0, 1], "datasets: mine: classes.0"),
        ("datasets.mine.pixels", {"size": 16, "intensity": "window"}, "a window"),
        ("heads.near.neighbours", [], "heads: near: neighbours"),
        ("heads.near.neighbours", [0], "heads: near: neighbours"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(path: str, value: object, reason: str) -> None:
    assert reason in refused(changed(path, value))


def test_environment_variables_are_replaced_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/mnt/x")
    monkeypatch.delenv("ELSEWHERE", raising=False)
    config = {"a": ["${PLACE}/b", 3, None], "${PLACE}": {"c": "${ELSEWHERE:-../d}/${PLACE}", "e": "${ELSEWHERE:-}"}}
    assert expand(config) == {"a": ["/mnt/x/b", 3, None], "${PLACE}": {"c": "../d//mnt/x", "e": ""}}
    assert expand("$PLACE ${ PLACE } $$ {PLACE}") == "$PLACE ${ PLACE } $$ {PLACE}"


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_or_empty_is_named_or_has_its_default(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("PLACE", raising=False)
    else:
        monkeypatch.setenv("PLACE", value)
    assert expand("${PLACE:-here}") == "here"
    with pytest.raises(StudyError, match="the environment variable PLACE is not set"):
        Study(changed("datasets.mine.root", "${PLACE}/images"))


def test_the_study_is_read_without_heavy_libraries() -> None:
    program = "import sys, pipeline.study; print(sorted({'torch', 'diffusers', 'timm', 'sklearn'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "torch" not in printed
    assert "diffusers" not in printed
    assert "timm" not in printed


def test_only_what_was_written_becomes_a_parameter() -> None:
    study = Study(GOOD)
    assert study.heads["near"].written() == '{"family": "knn"}'
    assert study.datasets["mine"].pixels.written() == '{"size": 16}'
