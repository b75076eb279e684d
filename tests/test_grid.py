"""A study of hundreds of thousands of images as hundreds of batch jobs, and what each asks of a batch system."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.resources import GroupResources, Resource, Resources

from pipeline.plan import Plan, resources
from pipeline.plan.resources import MOST_MB, MOST_MINUTES, NEEDS, Size
from pipeline.study import Study
from tests.grid import PAPER, laid_out
from tests.studies import ROOT, STUDY, environment, tiny

SIZES = st.builds(
    Size,
    samples=st.integers(1, 10**6),
    shard=st.integers(1, 10**5),
    pixels=st.integers(1, 1024**2),
    values=st.integers(1, 10**7),
    views=st.integers(0, 5),
    device=st.booleans(),
    network=st.booleans(),
    passes=st.floats(0, 10**4),
    scores=st.integers(1, 10**4),
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the publication's study."""
    return Plan(Study(yaml.safe_load(PAPER.read_text())))


@dataclass(frozen=True)
class Wildcards:
    """As Snakemake gives them to functions."""

    named: dict[str, str]

    def items(self) -> Any:  # noqa: ANN401 - a view of a dictionary
        return self.named.items()


def test_the_publications_study_is_five_hundred_batch_jobs_at_most(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "paper", PAPER)
    words = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--dry-run", "--configfile", "study.yaml"]
    done = subprocess.run([*words, "--", "all"], cwd=folder, env=environment(), capture_output=True, text=True)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-2000:]

    bundles = re.findall(r"\] Group job (\S+) \(", printed)
    assert len(set(bundles)) == len(bundles)
    local = set(re.findall(r"^(?:local)?rule (\w+):$", snakefiles(), re.MULTILINE)) & local_rules()
    alone = Counter(re.findall(r"^rule (\w+):$", printed, re.MULTILINE))
    submitted = {rule: count for rule, count in alone.items() if rule not in local}
    assert submitted == {"inspect": 4, "index": 4, "finetune": 20, "tabulate": 4, "conclude": 1, "illustrate": 1}
    # 16 shards; 9 entries of autoencoders on each; on each of 4 data sets 9 entries, with 7 heads and the small ones.
    assert Counter(name.split(".")[0] for name in bundles) == {"images": 16, "codes": 16 * 9, "heads": 4 * 9 * (7 + 1)}
    assert len(bundles) + sum(submitted.values()) <= 500


def snakefiles() -> str:
    """Return all rules."""
    return "\n".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")])


def local_rules() -> set[str]:
    """Return the rules that run where Snakemake runs."""
    rules = re.split(r"^ *rule (\w+):$", snakefiles(), flags=re.MULTILINE)[1:]
    return {name for name, body in zip(rules[::2], rules[1::2], strict=True) if "localrule: True" in body}


@given(size=SIZES, attempt=st.integers(1, 5), more=st.sampled_from(["samples", "shard", "pixels", "values", "views"]))
def test_more_data_never_ask_for_less(size: Size, attempt: int, more: str) -> None:
    larger = replace(size, **{more: 2 * getattr(size, more)})
    for stage in NEEDS:
        for asked in (resources.memory, resources.minutes):
            assert asked(stage, larger, attempt) >= asked(stage, size, attempt), stage
        assert resources.threads(stage, larger) >= resources.threads(stage, size), stage


@given(size=SIZES, attempt=st.integers(1, 5))
def test_a_further_attempt_asks_for_twice_as_much_up_to_a_bound(size: Size, attempt: int) -> None:
    for stage in NEEDS:
        for asked, most in ((resources.memory, MOST_MB), (resources.minutes, MOST_MINUTES)):
            first = asked(stage, size, attempt)
            assert 0 < first <= most, stage
            assert asked(stage, size, attempt + 1) == min(2 * first, most), stage


def test_what_is_read_whole_fits_into_the_memory_that_is_asked_for() -> None:
    """28,000 latents of 4 x 64 x 64 with two views, as float32: 5.5 GB."""
    size = Size(samples=28_000, shard=28_000, pixels=512**2, values=4 * 64 * 64, views=2)
    held = 28_000 * 4 * 64 * 64 * 4 * 3 / 1e6
    assert held < resources.memory("train", size, 1) < 3 * held


def test_encoding_asks_for_the_same_memory_however_long_a_shard_is() -> None:
    size = Size(samples=10**6, shard=100, pixels=512**2, values=1)
    assert resources.memory("encode", size, 1) == resources.memory("encode", replace(size, shard=10**5), 1)


def test_only_networks_ask_for_an_accelerator_and_only_where_one_is_offered(plan: Plan) -> None:
    def asked(stage: str, offered: int, **named: str) -> int | None:
        return plan.gpu(stage, offered)(Wildcards(named))

    shard = {"dataset": "chest-xray", "shard": "3"}
    head = {"dataset": "chest-xray", "autoencoder": "sd-1", "space": "latent"}
    assert asked("encode", 1, autoencoder="sd-1", **shard) == 1
    assert asked("decode", 1, autoencoder="medvae-tuned-fold2", **shard | {"dataset": "chest-xray.view1"}) == 1
    assert asked("train", 8, head="cnn", **head) == 1
    assert asked("finetune", 1, dataset="chest-xray", autoencoder="medvae-tuned-fold0") == 1
    assert asked("encode", 1, autoencoder="orthogonal", **shard) is None
    assert asked("measure", 1, autoencoder="sd-1", **shard) is None
    assert asked("train", 1, head="linear", **head) is None
    assert asked("encode", 0, autoencoder="sd-1", **shard) is None
    assert asked("normalize", 1, **shard) is None


def test_sizes_are_those_of_the_files_once_they_are_there(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    head = Wildcards({"dataset": "fetal-heart", "autoencoder": "sd-1", "space": "latent", "head": "published"})
    supposed = plan.size("train", head, 0)
    assert (supposed.samples, supposed.values) == (8192, 512 * 512)
    for path, text in (
        ("results/inspected/fetal-heart.rows", "6558\n"),
        ("results/latents/fetal-heart/sd-1.zarr/zarr.json", '{"shape": [6558, 4, 64, 64]}'),
    ):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text(text)
    known = plan.size("train", head, 0)
    assert (known.samples, known.values) == (6558, 4 * 64 * 64)
    # Five folds with three seeds each, 60 epochs over the three folds that neither test nor validate.
    assert known.passes == pytest.approx(5 * 3 * 60 * 3 / 5)


def test_a_bundle_asks_for_one_accelerator_and_for_the_time_of_its_jobs_one_after_the_other() -> None:
    """A shard and its two views, by Snakemake's own arithmetic under the limits of the profile."""
    profile = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
    assert profile["set-resource-scopes"]["gpu"] == "local"
    given = {**profile["resources"], "gpu": 1, "_cores": profile["cores"]}
    limits = Resources({name: Resource(name, value) for name, value in given.items()})
    job = SimpleNamespace(resources={"gpu": 1, "mem_mb": 8000, "runtime": 100, "_cores": 4}, pipe_group=None)
    bundle = GroupResources.basic_layered([[job] * 3, [job] * 3], limits, run_local=False)
    assert {key: bundle[key] for key in ("gpu", "mem_mb", "runtime", "_cores")} == {
        **{"gpu": 1, "mem_mb": 8000},
        **{"runtime": 600, "_cores": 4},
    }


def test_every_rule_that_is_submitted_says_what_it_asks_for() -> None:
    rules = re.split(r"^ *rule (\w+):$", snakefiles(), flags=re.MULTILINE)[1:]
    for name, body in zip(rules[::2], rules[1::2], strict=True):
        if name in local_rules() or name == "all":
            continue
        for resource in ("mem_mb=plan.memory", "runtime=plan.runtime"):
            assert f'{resource}("{name}", accelerators)' in body, name
        assert (f'gpu=plan.gpu("{name}", accelerators)' in body) == NEEDS[name].device, name
        assert "benchmark:" in body, name


def test_the_workstations_profile_gives_networks_the_accelerator_and_others_none(tmp_path: Path) -> None:
    network = {"mlp": {"family": "mlp", "grid": 2}}
    folder = tiny(tmp_path, STUDY | {"heads": STUDY["heads"] | network})
    words = [sys.executable, "-m", "snakemake", "--profile", "profiles/workstation", "--dry-run"]
    words += ["--configfile", "study.yaml", "--", "results/gap_table.csv"]
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-2000:]
    parts = re.split(r"^ *rule (\w+):$", printed, flags=re.MULTILINE)[1:]
    jobs = list(zip(parts[::2], parts[1::2], strict=True))
    asked = {(rule, "head=mlp" in job): "gpu=1" in job for rule, job in jobs}
    assert asked[("train", True)]
    assert not any(given for (rule, network), given in asked.items() if (rule, network) != ("train", True))
    assert asked.keys() >= {("encode", False), ("train", False), ("evaluate", True)}
