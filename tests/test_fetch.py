"""Weights from a hub, which here is a loopback server: what arrives, what is refused, and what is left behind."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline import fetch, weights
from pipeline.errors import StudyError
from pipeline.weights import Source, Table, verify
from tests import studies
from tests.hub import REVISION, Hub, serving
from tests.test_convert import Malicious

CONFIG, WEIGHTS = b'{"_class_name": "AutoencoderKL"}\n', bytes(range(256)) * 400
OUTPUT = Path("resources/weights/mine/w.safetensors")


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what HF_ENDPOINT does when the library is imported."""
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository; waiting between attempts takes no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    files = {("owner/name", "vae/config.json"): CONFIG, ("owner/name", "vae/w.safetensors"): WEIGHTS}
    with serving(Hub(files)) as hub:
        point_at(hub.address, monkeypatch)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        yield hub


def source(path: str = "vae/w.safetensors", content: bytes = WEIGHTS, **changes: str) -> Source:
    entry = {"repository": "owner/name", "revision": REVISION, "path": path, "sha256": hashed(content), **changes}
    return Source.model_validate(entry)


def left() -> list[str]:
    """Return every file below the folder of weights."""
    return sorted(str(path.relative_to("resources/weights")) for path in Path("resources/weights").rglob("*"))


def refused(match: str, wanted: Source) -> str:
    with pytest.raises(StudyError, match=match) as caught:
        fetch.fetch(wanted, OUTPUT)
    assert "\n" not in caught.value.message
    assert left() == ["mine"]
    return caught.value.message


@pytest.mark.parametrize(("path", "content"), [("vae/config.json", CONFIG), ("vae/w.safetensors", WEIGHTS)])
def test_small_and_large_files_arrive_at_the_pinned_revision(hub: Hub, path: str, content: bytes) -> None:
    fetch.fetch(source(path, content), OUTPUT)
    assert OUTPUT.read_bytes() == content
    assert left() == ["mine", "mine/w.safetensors"]
    assert f"HEAD owner/name/resolve/{REVISION}/{path}" in hub.seen


@pytest.mark.parametrize("trouble", [["cut"], [503, 500], ["cut", 502, "cut"], [429]])
def test_a_flaky_hub_is_asked_again(hub: Hub, trouble: list[int | str]) -> None:
    hub.trouble = list(trouble)
    fetch.fetch(source(), OUTPUT)
    assert OUTPUT.read_bytes() == WEIGHTS
    assert hub.trouble == []


def test_a_hub_that_stays_broken_is_given_up(hub: Hub) -> None:
    hub.trouble = [500] * 100
    assert str(OUTPUT) in refused(r"vae/w\.safetensors cannot be fetched \(HfHubHTTPError\)", source())
    assert len(hub.trouble) == 100 - 1 - len(fetch.WAITS)


def test_other_bytes_are_refused_with_both_hashes(hub: Hub) -> None:
    other = hashed(b"other")
    said = refused("it is refused", source(sha256=other))
    assert other in said
    assert hashed(WEIGHTS) in said


def test_a_file_that_was_there_stays_when_fetching_it_again_fails(hub: Hub) -> None:
    OUTPUT.parent.mkdir(parents=True)
    OUTPUT.write_bytes(b"old")
    with pytest.raises(StudyError):
        fetch.fetch(source(sha256=hashed(b"other")), OUTPUT)
    assert OUTPUT.read_bytes() == b"old"


def test_a_call_that_is_ended_leaves_nothing_behind(hub: Hub) -> None:
    hub.trouble = ["hang"]
    command = [sys.executable, "-m", "pipeline.fetch", "--source", source().written(), "--output", str(OUTPUT)]
    process = subprocess.Popen(command, env=os.environ | {"HF_ENDPOINT": hub.address}, stderr=subprocess.DEVNULL)
    assert hub.hangs.wait(60)
    assert len(left()) > 1
    process.terminate()
    assert process.wait(60) == 143
    assert left() == ["mine"]


@pytest.mark.parametrize("token", [None, "hf_mine"])
def test_a_gated_repository_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    hub.gated.add("owner/name")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    refused("owner/name is gated: accept the licence on its page on the hub, and set HF_TOKEN", source())
    assert hub.tokens[0] == (f"Bearer {token}" if token else None)


def test_what_the_hub_does_not_have_is_named(hub: Hub) -> None:
    refused("owner/none does not exist or is not open to everyone", source(repository="owner/none"))
    refused(r"owner/name has no vae/x\.json at revision", source("vae/x.json"))
    refused("owner/name has no .* at revision " + "f" * 40, source(revision="f" * 40))


def test_without_a_network_the_sentence_says_what_to_put_where(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)
    said = refused("the hub cannot be reached", source())
    assert f"put vae/w.safetensors of owner/name at revision {REVISION} there by hand, as {OUTPUT}" in said


def test_a_fetched_pickle_is_converted_where_nothing_of_it_can_run(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"encoder.weight": torch.randn(2, 3)}
    torch.save({"state_dict": tensors}, tmp_path / "saved")
    content = (tmp_path / "saved").read_bytes()
    hub.files["owner/name", "m.ckpt"] = content
    monkeypatch.setenv("HF_TOKEN", "secret")
    fetch.fetch(source("m.ckpt", content), OUTPUT)
    assert torch.equal(load_file(OUTPUT)["encoder.weight"], tensors["encoder.weight"])
    assert left() == ["mine", "mine/w.safetensors", "mine/w.safetensors.sha256"]
    files = {OUTPUT.name: {"path": "m.ckpt", "sha256": hashed(content)}}
    write_table(mine={**ENTRY, "revision": REVISION, "files": files})
    assert verify([str(OUTPUT)]) == [hashed(OUTPUT.read_bytes())]


def test_a_malicious_pickle_from_the_hub_is_refused(hub: Hub, tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": Malicious(tmp_path / "ran")}}, tmp_path / "saved")
    content = (tmp_path / "saved").read_bytes()
    hub.files["owner/name", "m.ckpt"] = content
    refused(r"^m\.ckpt is refused: it needs \w+\.system", source("m.ckpt", content))
    assert not (tmp_path / "ran").exists()


def test_a_conversion_sees_no_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONSTARTUP", "x")

    def ran(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        seen.update(options["env"])
        return subprocess.CompletedProcess(command, 1, "", "error: no\n")

    monkeypatch.setattr(subprocess, "run", ran)
    hub.files["owner/name", "m.ckpt"] = b"x"
    refused("^no$", source("m.ckpt", b"x"))
    assert set(seen) <= {*fetch.KEPT, "PYTHONPATH"}


ENTRY: dict[str, Any] = {"family": "diffusers-kl", "repository": "owner/name", "licence": "MIT"}
UNPINNED = """# Kept.
mine:  # this, too
  family: diffusers-kl
  repository: owner/name
  revision: null
  licence: MIT
  files:
    config.json: {path: vae/config.json, sha256: null}
    w.safetensors:
      path: vae/w.safetensors
      sha256: null  # and this
other: {family: diffusers-kl, licence: MIT, files: {a.json: {sha256: "%s"}}}
""" % ("1" * 64)


def write_table(**entries: object) -> None:
    weights.TABLE.parent.mkdir(exist_ok=True)
    weights.TABLE.write_text(yaml.safe_dump(entries))


def test_pinning_asks_the_hub_and_changes_nothing_else(hub: Hub) -> None:
    weights.TABLE.parent.mkdir()
    weights.TABLE.write_text(UNPINNED)
    shown = fetch.pin("mine")
    assert f"mine.revision: {REVISION}" in shown
    assert f"mine.files.w.safetensors.sha256: {hashed(WEIGHTS)}" in shown
    assert shown[-1] == "the hub states the licence mit; the table says MIT"
    text = weights.TABLE.read_text()
    expected = UNPINNED.replace("revision: null", f"revision: {REVISION}")
    expected = expected.replace("config.json, sha256: null", f"config.json, sha256: {hashed(CONFIG)}")
    assert text == expected.replace("sha256: null", f"sha256: {hashed(WEIGHTS)}")
    for local, wanted in Table.read().sources()["mine"].items():
        fetch.fetch(wanted, weights.FOLDER / "mine" / local)
    assert verify([str(weights.FOLDER / "mine" / name) for name in ("config.json", "w.safetensors")])


def test_pinning_downloads_no_large_file(hub: Hub) -> None:
    weights.TABLE.parent.mkdir()
    weights.TABLE.write_text(UNPINNED)
    fetch.pin("mine")
    assert not [request for request in hub.seen if "w.safetensors" in request or "blobs" in request]


def test_pinning_refuses_what_contradicts_the_table(hub: Hub) -> None:
    files = {"w.safetensors": {"path": "vae/w.safetensors", "sha256": "1" * 64}}
    write_table(mine={**ENTRY, "revision": REVISION, "files": files})
    before = weights.TABLE.read_text()
    with pytest.raises(StudyError, match=rf"the hub says {hashed(WEIGHTS)}, and .* says {'1' * 64}"):
        fetch.pin("mine")
    assert weights.TABLE.read_text() == before
    with pytest.raises(StudyError, match="no entry none with a repository"):
        fetch.pin("none")
    write_table(mine={**ENTRY, "revision": None, "files": {"x.json": {"sha256": None}}})
    with pytest.raises(StudyError, match=r"owner/name has no x\.json"):
        fetch.pin("mine")
    hub.gated.add("owner/name")
    with pytest.raises(StudyError, match="owner/name is gated"):
        fetch.pin("mine")


def test_pinning_without_a_network_is_one_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.TABLE.parent.mkdir()
    weights.TABLE.write_text(UNPINNED)
    point_at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(StudyError, match=r"^the hub cannot be asked for owner/name \(\w+\)$"):
        fetch.pin("mine")


def test_digits_alone_are_written_so_that_they_stay_text() -> None:
    text = fetch._replaced("a: {revision: null}\n", {("a", "revision"): "1" * 40})
    assert yaml.safe_load(text) == {"a": {"revision": "1" * 40}}


def test_the_command_line_wants_one_of_two_things(tmp_path: Path) -> None:
    finished = subprocess.run([sys.executable, "-m", "pipeline.fetch"], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 2
    assert "either --pin, or --source and --output" in finished.stderr


STUDY = {**studies.STUDY, "datasets": {"blobs": {**studies.STUDY["datasets"]["blobs"], "shards": 1}}}
STUDY["autoencoders"] = {"identity": {"family": "identity"}}
STUDY["autoencoders"]["kl"] = {"family": "diffusers-kl", "folder": "resources/weights/kl"}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Hub]]:
    """A tiny study whose variational autoencoder lies on a hub, as that of a published repository does."""
    folder = studies.tiny(tmp_path, STUDY)
    files = {}
    for path in sorted((folder / "resources/weights/kl").iterdir()):
        files["owner/kl", f"vae/{path.name}"] = path.read_bytes()
    shutil.rmtree(folder / "resources/weights/kl")
    table = yaml.safe_load((folder / weights.TABLE).read_text())
    table["kl"] |= {"repository": "owner/kl", "revision": REVISION}
    for local, file in table["kl"]["files"].items():
        file["path"] = f"vae/{local}"
    (folder / weights.TABLE).write_text(yaml.safe_dump(table))
    with serving(Hub(files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        yield folder, hub


def test_a_study_fetches_what_it_names_once(published: tuple[Path, Hub]) -> None:
    folder, hub = published
    target = "results/latents/blobs/kl/0.json"
    assert studies.plan(folder, target)["fetch"] == 2
    studies.run(folder, target)
    asked = len(hub.seen)
    assert asked
    assert (folder / "resources/weights/kl/config.json").read_bytes() == hub.files["owner/kl", "vae/config.json"]
    made_by = json.loads((folder / "results/latents/blobs/kl/0.json").read_text())["made_by"]
    assert hashed(hub.files["owner/kl", "vae/diffusion_pytorch_model.safetensors"]) in made_by["files"]
    assert studies.plan(folder, target) == {}
    assert len(hub.seen) == asked


def test_files_that_were_put_there_by_hand_are_not_fetched(published: tuple[Path, Hub]) -> None:
    folder, hub = published
    for (_, path), content in hub.files.items():
        target = folder / "resources/weights/kl" / Path(path).name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
        os.utime(target, (0, 0))
    assert "fetch" not in studies.plan(folder, "results/latents/blobs/kl/0.json")


def test_a_study_stops_with_both_hashes_where_the_hub_has_other_bytes(published: tuple[Path, Hub]) -> None:
    folder, hub = published
    key = ("owner/kl", "vae/diffusion_pytorch_model.safetensors")
    right = hub.files[key]
    hub.files[key] = right[:-1] + bytes([right[-1] ^ 1])
    finished = studies.call(folder, "--cores", "2", "--", "results/latents/blobs/kl/0.json")
    assert finished.returncode != 0
    assert hashed(right) in finished.stdout
    assert hashed(hub.files[key]) in finished.stdout
    assert "Traceback" not in finished.stdout
    assert not (folder / "resources/weights/kl/diffusion_pytorch_model.safetensors").exists()


def test_a_study_that_names_unpinned_weights_stops_before_any_job(published: tuple[Path, Hub]) -> None:
    folder, hub = published
    text = (folder / weights.TABLE).read_text()
    (folder / weights.TABLE).write_text(text.replace(f"revision: {REVISION}", "revision: null"))
    finished = studies.call(folder, "--dry-run")
    assert finished.returncode != 0
    assert "autoencoders: kl: resources/weights.yaml does not pin kl" in finished.stdout
    assert hub.seen == []
