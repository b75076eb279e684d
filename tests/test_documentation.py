"""The documentation: no dead link, no key undescribed, and a site that needs no network."""

import importlib
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from workflow import reference

from pipeline import families
from pipeline.spec import Spec
from pipeline.study import Entries
from tests.studies import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
FAMILIES = [(kind, name) for kind in reference.KINDS for name in families.names(kind)]
MODELS = [Entries, *(importlib.import_module(families.module_name(*family)).Spec for family in FAMILIES)]
IDS = ["study", *(f"{kind}-{name}" for kind, name in FAMILIES)]


def prose(page: Path) -> str:
    """Return a page without its blocks and pieces of code."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> Iterator[str]:
    """Yield what a page links to, and the images that it shows, apart from other sites."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as the site and the forges make them."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    plain = (unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)) for heading in headings)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_links_are_found_and_dead_ones_noticed(tmp_path: Path) -> None:
    assert sum(len(list(links(page))) for page in PAGES) > 60
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n\n[x](none.md) [y](#a-b-c) [z](#other)\n\n```sh\n[not](this.md)\n# nor this\n```\n")
    assert list(links(page)) == ["none.md", "#a-b-c", "#other"]
    assert anchors(page) == {"a-b-c"}


def test_pages_of_the_site_link_to_nothing_outside_of_it() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert not [link for link in links(page) if link.startswith("..")], page.name


def paths(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else paths(value)


def test_every_page_has_a_place_in_the_site() -> None:
    listed = list(paths(SITE["nav"]))
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_every_page_can_be_reached_from_the_first_one() -> None:
    found, waiting = set(), ["index.md"]
    while waiting:
        page = waiting.pop()
        if page not in found:
            found.add(page)
            targets = (link.partition("#")[0] for link in links(ROOT / "docs" / page))
            waiting += [target for target in targets if target.endswith(".md")]
    assert found == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_site_is_built_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    if shutil.which("zensical") is None:
        pytest.skip("zensical, which builds the site, is not installed: make environment")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    built = subprocess.run(["zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, text=True)
    assert not built.returncode, built.stdout + built.stderr
    assert "No issues found" in built.stdout + built.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").glob("*.md")))
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]* src=\"?([^\" >]+)", page.read_text())
        loaded += re.findall(
            r"<link[^>]* rel=\"?(?:stylesheet|preconnect|icon)[^>]* href=\"?([^\" >]+)", page.read_text()
        )
        assert loaded
        assert not [address for address in loaded if re.match("(https?:)?//", address)], page.name


def test_the_reference_is_that_of_the_present_classes() -> None:
    assert reference.DOCUMENT.read_text() == reference.document(), "docs/reference.md is old: make reference"


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_every_key_is_described_and_every_number_has_a_unit(model: type[Spec]) -> None:
    for key in reference.keys(model):
        assert key.meaning, f"say below '{key.name}' what it means"
        numeric = re.search(r"\bnumber\b", key.type) and not key.name.rpartition(".")[2].endswith(("seed", "seeds"))
        assert key.unit or not numeric, f"end what stands below '{key.name}' with its unit in brackets"


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_default_that_stands_there_is_what_the_key_is_without_it(model: type[Spec]) -> None:
    keys = {key.name: key for key in reference.keys(model)}
    assert set(model.model_fields) - {"family"} <= set(keys)
    for name, field in model.model_fields.items():
        if name == "family":
            continue
        assert (keys[name].default == "") == field.is_required()
        if keys[name].default and not reference._parts(field):
            written = yaml.safe_load(keys[name].default)
            default = field.get_default(call_default_factory=True)
            assert TypeAdapter(field.annotation).validate_python(written) == default, name


def test_families_and_their_keys_stand_in_the_reference() -> None:
    text = reference.DOCUMENT.read_text()
    for kind, name in FAMILIES:
        assert f"### {reference.title(kind)} `{name}`\n" in text
    row = next(line for line in text.splitlines() if line.startswith("| `pixels.size` |"))
    assert row == "| `pixels.size` | whole number ≥ 1 | pixels |  | Side of the square output. |"


def test_keys_of_data_sets_are_those_of_their_families_with_their_defaults() -> None:
    sections = re.split(r"^## ", (ROOT / "docs/datasets.md").read_text(), flags=re.MULTILINE)
    checked = 0
    for name in families.names("datasets"):
        section = next(section for section in sections if section.startswith(f"`{name}`"))
        spec = importlib.import_module(families.module_name("datasets", name)).Spec
        known = {key.name: key for key in reference.keys(spec)}
        for row in re.findall(r"^\| (`[a-z_`, ]+`) \|(.+)\|$", section, re.MULTILINE):
            named = re.findall(r"`([a-z_]+)`", row[0])
            assert set(named) <= set(known), name
            default = re.fullmatch(r"`([^`]+)`", row[1].split(" | ")[-1].strip())
            if default and len(named) == 1:
                assert known[named[0]].default == default[1], (name, named)
            checked += len(named)
    assert checked > 25


def test_what_stands_below_a_key_is_found_in_all_its_forms() -> None:
    section = (
        "Summary.\n\nAttributes:\n    first: One\n        more. [mm]\n    second: Two: three.\n\nRaises:\n    no: no."
    )
    assert reference.attributes(section) == {"first": "One more. [mm]", "second": "Two: three."}
    assert reference.first_sentence("One\nsentence. And another.") == "One sentence."


def test_the_citation_file_is_one_of_version_1_2_0() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    known = {"cff-version", "message", "authors", "title", "type", "abstract", "version", "license", "keywords"}
    assert {"cff-version", "message", "authors", "title"} <= set(cited) <= known
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] in ("software", "dataset")
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{cited["version"]}"' in project
    assert f'license = "{cited["license"]}"' in project
    assert (ROOT / "LICENSE").read_text().startswith(f"{cited['license']} License")


def test_the_container_has_the_python_and_the_locks_of_the_other_environments() -> None:
    text = (ROOT / "Containerfile").read_text()
    conda = yaml.safe_load((ROOT / "workflow/envs/pipeline.yaml").read_text())
    python = next(entry for entry in conda["dependencies"] if str(entry).startswith("python="))
    assert f"FROM python:{python.removeprefix('python=')}-" in text
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()}
    assert {path.name for path in ROOT.glob("requirements*.lock")} <= copied
    assert all((ROOT / name).exists() for name in copied)
    assert text.count("--require-hashes") == text.count("pip install") == 2
    kept = {line.removeprefix("!") for line in (ROOT / ".containerignore").read_text().splitlines() if line[:1] == "!"}
    assert {path.split("/")[0] for path in kept} >= copied - {path.name for path in ROOT.glob("requirements*.lock")}


def test_hooks_are_the_projects_own_and_nothing_is_downloaded() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [entry["repo"] for entry in hooks["repos"]] == ["local"]
    entries = {hook["entry"].split()[0] for hook in hooks["repos"][0]["hooks"]}
    assert {"ruff", "snakefmt", "mypy"} <= entries
    assert all(hook["language"] == "system" for hook in hooks["repos"][0]["hooks"])


def test_the_catalogue_finds_what_it_looks_for() -> None:
    """Its criteria of "standardized usage", and where its generator looks for flags, deployment and the report."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert {type(value) for value in [*usage["software-stack-deployment"].values(), usage["report"]]} == {bool}
    assert (ROOT / "workflow/Snakefile").is_file()
    assert "snakedeploy" in (ROOT / "config/README.md").read_text()
    assert {"snakemake", "workflow"} <= set(re.findall(r"[a-z]+", (ROOT / "README.md").read_text().lower()))
