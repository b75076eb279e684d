"""The table of weights: what it may say, and that every byte of what it lists is compared."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import families, weights
from pipeline.errors import StudyError
from pipeline.study import Study
from pipeline.weights import Table, require, verify
from tests.studies import ROOT

ENTRY: dict[str, Any] = {
    "family": "diffusers-kl",
    "repository": "owner/name",
    "revision": "0" * 39 + "a",
    "licence": "MIT",
    "files": {"config.json": {"sha256": "1" * 64}, "w.safetensors": {"path": "vae/w.ckpt", "sha256": "2" * 64}},
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(entries: object) -> Path:
    Path("resources").mkdir(exist_ok=True)
    weights.TABLE.write_text(entries if isinstance(entries, str) else yaml.safe_dump(entries))
    return weights.TABLE


def placed(content: bytes, name: str = "mine", file: str = "w.safetensors") -> str:
    path = weights.FOLDER / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def local(**files: bytes) -> dict[str, Any]:
    listed = {f"{name}.safetensors": {"sha256": hashed(content)} for name, content in files.items()}
    return {"family": "diffusers-kl", "licence": "MIT", "files": listed}


def test_the_table_of_this_checkout_lists_families_that_exist_and_licences() -> None:
    entries = Table.read(ROOT / weights.TABLE).root
    assert {entry.family for entry in entries.values()} <= {*families.names("autoencoders"), *families.names("heads")}
    assert {"sd-1.4", "sd-1.5", "sdxl", "sd-3", "flux.1-dev", "flux.2-dev", "taesd", "medvae"} <= set(entries)
    assert {name for name, entry in entries.items() if entry.gated} == {"sd-3", "flux.1-dev", "flux.2-dev"}
    assert all(entry.licence for entry in entries.values())
    for name, entry in entries.items():
        read(name, entry)


def read(name: str, entry: weights.Entry) -> Any:  # noqa: ANN401 - of either kind
    """Return the specification of what an entry is loaded into."""
    return families.spec("heads" if entry.family == "timm" else "autoencoders", configured(name, entry))


def configured(name: str, entry: weights.Entry) -> dict[str, Any]:
    """Return how a study names an entry."""
    folder, files = weights.FOLDER / name, [str(weights.FOLDER / name / file) for file in entry.files]
    if entry.family == "onnx":
        return {"family": "onnx", "encoder": files[0], "decoder": files[1], "encoder_range": [-1, 1]}
    if entry.family in ("medvae", "tae", "timm"):
        return {"family": entry.family, "weights": files[0]}
    return {"family": entry.family, "folder": str(folder)}


def test_every_file_that_an_entry_is_loaded_from_is_in_the_table() -> None:
    for name, entry in Table.read(ROOT / weights.TABLE).root.items():
        assert {Path(file).name for file in read(name, entry).files()} <= set(entry.files), name


def test_shipped_weights_are_tracked_and_fetched_ones_ignored() -> None:
    for name, entry in Table.read(ROOT / weights.TABLE).root.items():
        for file in entry.files:
            path = str(weights.FOLDER / name / file)
            ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT).returncode == 0
            assert ignored == (name not in ("kl", "tiny", "vq")), path


def test_shipped_weights_are_what_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("kl", "tiny", "vq"):
        listed = Table.read().root[name].files
        found = {path.name for path in (weights.FOLDER / name).iterdir()}
        # How they were trained stands beside them.
        assert found - {"recipe.json", "curve.csv"} == set(listed)
        assert len(verify(str(weights.FOLDER / name / file) for file in listed)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"revison": "a" * 40}, "mine.revison: Extra inputs"),
        ({"revision": "main"}, "mine.revision: String should match"),
        ({"revision": "a" * 39}, "mine.revision"),
        ({"revision": 12}, "mine.revision"),
        ({"repository": "name"}, "mine.repository"),
        ({"files": {}}, "mine.files"),
        ({"files": {"a": {"sha256": "1" * 63}}}, "mine.files.a.sha256"),
        ({"files": {"a": {"sha265": "1" * 64}}}, "mine.files.a.sha256: Field required"),
        ({"files": {"../a": {"sha256": "1" * 64}}}, "mine.files"),
        ({"files": {"a.ckpt": {"sha256": "1" * 64}}}, "is a pickle"),
        ({"files": {"a.bin": {"path": "b.safetensors", "sha256": "1" * 64}}}, "is a pickle"),
        ({"files": {"a.json": {"path": "b.ckpt", "sha256": "1" * 64}}}, "is converted to safetensors"),
        ({"repository": None}, "have no revision"),
        ({"repository": None, "revision": None, "files": {"a": {"sha256": None}}}, "need a sha256"),
        ({"licence": None}, "mine.licence"),
    ],
)
def test_what_is_wrong_in_the_table_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as caught:
        Table.read(written({"mine": {**ENTRY, **change}}))
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_working_directory_without_a_table_has_that_of_the_checkout() -> None:
    assert Table.read() == Table.read(ROOT / weights.TABLE)
    own = written({"mine": ENTRY})
    assert Table.read() == Table.read(own) != Table.read(ROOT / weights.TABLE)


def test_a_table_that_is_missing_empty_or_no_yaml() -> None:
    with pytest.raises(StudyError, match=r"the table of weights resources/weights\.yaml is missing"):
        Table.read(weights.TABLE)
    assert Table.read(written("# nothing\n")).sources() == {}
    for text in ("a: [", "- a", "a: b"):
        with pytest.raises(StudyError, match=r"^resources/weights\.yaml"):
            Table.read(written(text))
    no_revision = {key: value for key, value in ENTRY.items() if key != "revision"}
    with pytest.raises(StudyError, match="needs a revision, which may be null"):
        Table.read(written({"mine": no_revision}))


def test_only_pinned_entries_with_a_repository_are_fetched() -> None:
    table = {"mine": ENTRY, "shipped": local(w=b"x"), "later": {**ENTRY, "revision": None}}
    table["half"] = {**ENTRY, "files": {**ENTRY["files"], "c.json": {"sha256": None}}}
    sources = Table.read(written(table)).sources()
    assert list(sources) == ["mine"]
    assert sources["mine"]["w.safetensors"].model_dump() == {
        "repository": "owner/name",
        "revision": "0" * 39 + "a",
        "path": "vae/w.ckpt",
        "sha256": "2" * 64,
    }
    assert sources["mine"]["config.json"].path == "config.json"


def test_a_flipped_byte_is_refused_with_both_hashes() -> None:
    written({"mine": local(w=b"weights")})
    file = placed(b"weights")
    assert verify([file]) == [hashed(b"weights")]
    placed(b"weightt")
    with pytest.raises(StudyError) as caught:
        verify([file])
    assert file in caught.value.message
    assert hashed(b"weightt") in caught.value.message
    assert f"resources/weights.yaml says {hashed(b'weights')}" in caught.value.message


def test_a_file_is_known_by_where_it_lies_however_it_is_named(tmp_path: Path) -> None:
    written({"mine": local(w=b"weights")})
    placed(b"other")
    link = tmp_path / "link"
    link.symlink_to(weights.FOLDER / "mine")
    for name in ("./resources/weights/mine/w.safetensors", tmp_path / weights.FOLDER / "mine/w.safetensors"):
        with pytest.raises(StudyError, match="has changed"):
            verify([str(name)])
    with pytest.raises(StudyError, match="has changed"):
        verify([str(link / "w.safetensors")])


def test_a_folder_that_is_a_link_to_a_shared_one_is_held_to_the_table(tmp_path: Path) -> None:
    written({"mine": local(w=b"weights")})
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "w.safetensors").write_bytes(b"weights")
    weights.FOLDER.mkdir(parents=True)
    (weights.FOLDER / "mine").symlink_to(shared)
    file = str(weights.FOLDER / "mine/w.safetensors")
    assert verify([file]) == [hashed(b"weights")]
    (shared / "w.safetensors").write_bytes(b"others")
    for name in (file, "resources/../resources/weights/mine/w.safetensors"):
        with pytest.raises(StudyError, match=r"has changed: its SHA-256 is .* and resources/weights\.yaml says"):
            verify([name])


def test_files_that_the_table_does_not_list_are_hashed_and_no_more() -> None:
    written({"mine": local(w=b"weights")})
    Path("elsewhere").mkdir()
    Path("elsewhere/w.safetensors").write_bytes(b"a")
    files = ["elsewhere/w.safetensors", placed(b"b", "other"), placed(b"c", "mine", "notes.txt")]
    assert verify(files) == [hashed(b"a"), hashed(b"b"), hashed(b"c")]


def test_an_entry_that_is_not_pinned_is_refused_with_the_command_that_pins_it() -> None:
    written({"mine": {**ENTRY, "revision": None}})
    said = r"does not pin mine: .*`python -m pipeline\.fetch --pin mine` asks owner/name"
    with pytest.raises(StudyError, match=said):
        require("resources/weights/mine/config.json")
    with pytest.raises(StudyError, match=said):
        verify([placed(b"x", file="config.json")])


def test_what_was_converted_is_held_to_the_hash_that_was_taken_then() -> None:
    written({"mine": ENTRY})
    file = placed(b"converted")
    with pytest.raises(StudyError, match=r"was not made by the rule fetch: there is no w\.safetensors\.sha256"):
        verify([file])
    Path(f"{file}.sha256").write_text(f"{hashed(b'converted')}  w.safetensors\n")
    assert verify([file]) == [hashed(b"converted")]
    placed(b"changed")
    with pytest.raises(StudyError, match="has changed"):
        verify([file])


@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_local_folder_is_held_to_its_own_sums(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_bytes(b"{}")
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{hashed(b'{}')} *{prefix}config.json\n{hashed(b'weights')}  {prefix}w.safetensors\n")
    files = [str(tmp_path / name) for name in ("config.json", "w.safetensors")]
    assert verify(files) == [hashed(b"{}"), hashed(b"weights")]
    (tmp_path / "w.safetensors").write_bytes(b"weightz")
    with pytest.raises(StudyError) as caught:
        verify(files)
    assert hashed(b"weights") in caught.value.message
    assert hashed(b"weightz") in caught.value.message
    sums.write_text(f"{hashed(b'{}')}  config.json\n")
    with pytest.raises(StudyError, match=r"does not list w\.safetensors"):
        verify(files)
    sums.write_text(f"# sums\n{hashed(b'{}')}  config.json\n")
    with pytest.raises(StudyError, match="line 1 is not a SHA-256"):
        verify(files)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no program sha256sum here")
def test_what_sha256sum_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "a b.safetensors").write_bytes(b"weights")
    subprocess.run("sha256sum * > SHA256SUMS", shell=True, check=True, cwd=tmp_path)  # noqa: S602
    assert verify([str(tmp_path / "a b.safetensors")]) == [hashed(b"weights")]


def test_a_missing_file_is_named_unless_the_study_fetches_it() -> None:
    written({"mine": ENTRY, "shipped": local(w=b"x")})
    require("resources/weights/mine/config.json")
    for file in ("resources/weights/mine/other.json", "resources/weights/shipped/w.safetensors", "a/mine/config.json"):
        with pytest.raises(StudyError, match=f"the file {file} is missing"):
            require(file)
    with pytest.raises(StudyError, match="is missing"):
        verify(["resources/weights/mine/config.json"])


def test_a_pickle_is_refused_with_the_command_that_converts_it() -> None:
    command = "python -m pipeline.convert --checkpoint {0}.{1} --output {0}.safetensors"
    study: dict[str, Any] = {"datasets": {"d": {"family": "folders", "root": "i", "pixels": {"size": 16}}}}
    study |= {"heads": {"near": {"family": "knn"}}}
    for family in ("medvae", "tae"):
        for ending in ("ckpt", "pth", "pt", "bin"):
            entries = {"identity": {"family": "identity"}, "a": {"family": family, "weights": f"w/m.{ending}"}}
            with pytest.raises(StudyError, match=r"autoencoders: a: weights: .*is a pickle") as caught:
                Study({**study, "autoencoders": entries})
            assert command.format("w/m", ending) in caught.value.message
    with pytest.raises(StudyError, match=r"fidelity\.lpips: .*w/m\.pth is a pickle"):
        Study({**study, "autoencoders": {"identity": {"family": "identity"}}, "fidelity": {"lpips": "w/m.pth"}})
    Path("old").mkdir()
    Path("old/diffusion_pytorch_model.bin").touch()
    with pytest.raises(StudyError) as caught:
        require("old/diffusion_pytorch_model.safetensors")
    assert command.format("old/diffusion_pytorch_model", "bin") in caught.value.message
