"""Code is declared as inputs: every project module that a stage loads is among the files that are declared for it."""

import importlib
import io
import json
import keyword
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import families
from pipeline.networks.network import TrainableSpec
from pipeline.sources import SOURCE, files, imports, meaning

ROOT = Path(__file__).parent.parent
PLAIN = (
    "normalize",
    "augment",
    "measure",
    "describe",
    "standardize",
    "embed",
    "evaluate",
    "conclude",
    "correlate",
    "tabulate",
    "collect",
    "penalties",
    "illustrate",
    "fetch",
    "convert",
    "excerpt",
    "salt",
    "summary",
    "verify",
)
FAMILIES: dict[str, families.Kind] = {
    "synthesize": "benchmarks",
    "inspect": "datasets",
    "index": "datasets",
    "encode": "autoencoders",
    "decode": "autoencoders",
    "train": "heads",
    "cost": "heads",
    "denoise": "denoisers",
    "diffusability": "denoisers",
    "encoder_geometry": "autoencoders",
}
MADE_OF_OTHERS = ("by-space", "distilled")
"""Heads whose parts are heads of other families."""
SHIPPED = {"diffusers-kl": "kl", "diffusers-tiny": "tiny", "diffusers-vq": "vq"}
CASES = [(f"pipeline.{stage}",) for stage in PLAIN]
CASES += [
    (f"pipeline.{stage}", families.module_name(kind, family))
    for stage, kind in FAMILIES.items()
    for family in families.names(kind)
]
TRAINABLE = [
    module
    for module in (families.module_name("autoencoders", family) for family in families.names("autoencoders"))
    if issubclass(importlib.import_module(module).Spec, TrainableSpec)
]
CASES += [
    ("pipeline.class_information", families.module_name("heads", family))
    for family in ("film-convnext", "mlp", "transformer")
]
CASES += [("pipeline.finetune", module) for module in TRAINABLE]
CASES += [("pipeline.pretrain", families.module_name("autoencoders", family)) for family in SHIPPED]

RUNNER = '''
"""Run every case in a child of its own, with other people's libraries loaded once; print what each child loaded."""
import importlib, io, json, os, sys, traceback, types
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
import dask.array, numpy as np, pandas, pydicom, safetensors.numpy, skimage.metrics, torch, zarr
import matplotlib.figure, pydantic, sklearn.linear_model, sklearn.model_selection, sklearn.neighbors
from PIL import Image
# Libraries that can only be imported with this project's help; the project's modules are then forgotten.
import diffusers, pipeline.networks.backbones, pipeline.networks.diffusers_classes
[getattr(diffusers, name) for name in ("AutoencoderDC", "AutoencoderKL", "AutoencoderTiny", "VQModel")]
for name in [name for name in sys.modules if name.split(".")[0] == "pipeline"]:
    del sys.modules[name]
torch.set_num_threads(1)
folder, cases, shipped = json.loads(sys.argv[1])

def exercise(stage, module):
    """Do a little of what the stage does, for the sake of what is imported late."""
    if stage in ("pipeline.normalize", "pipeline.inspect"):
        sys.modules["pipeline.pixels"].inspect(Path(folder) / "1.png", sys.modules["pipeline.pixels"].PixelSpec(size=8))
    if stage == "pipeline.measure":
        with suppress(sys.modules["pipeline.errors"].StudyError):
            sys.modules[stage].read_distance(Path(folder) / "none")
    if stage == "pipeline.embed":
        features = sys.modules["pipeline.fidelity"].Features(model="resnet10t", weights=folder + "/none")
        with suppress(sys.modules["pipeline.errors"].StudyError):
            sys.modules[stage].embedded(None, 0, 0, 1, features)
    if module is None:
        return
    spec, family = sys.modules[module].Spec, module.rsplit(".")[-1].replace("_", "-")
    if stage in ("pipeline.encode", "pipeline.decode", "pipeline.encoder_geometry"):
        entry = {"family": family, "stride": 4, "seed": 0, "weights": folder + "/none", "keep": 4, "quality": 75}
        entry |= {"encoder": folder + "/none", "decoder": folder + "/none", "encoder_range": [0, 1]}
        entry |= {"folder": shipped.get(family, folder), "model": "resnet10t", "parent": "x"}
        entry = {key: value for key, value in entry.items() if key in spec.model_fields}
        if family == "timm-features":
            entry["weights"] = None
        with suppress(OSError, sys.modules["pipeline.errors"].StudyError):
            spec(**entry).load(1)
    if stage == "pipeline.train":
        heads, folds = sys.modules["pipeline.heads"], sys.modules["pipeline.folds"]
        labels = np.eye(2, dtype=np.int8)[np.arange(12) % 2]
        space = heads.Space(np.random.default_rng(0).random((12, 1, 8, 8), np.float32), labels, True, 4)
        small = {"model": "resnet10t"} if family == "timm" else {}
        small |= {"epochs": 1} if "epochs" in spec.model_fields else {}
        part = {"family": "mlp", "epochs": 1}
        small |= {"teacher": "x", "student": part} if family == "distilled" else {}
        small |= {"pixels": part, "latents": part} if family == "by-space" else {}
        support = heads.Support(np.zeros((1, 4, 2), np.float32) if family == "distilled" else None)
        spec(family=family, **small).fit(space, folds.Split(0, *np.arange(12).reshape(3, 4)), 0, support)
    if stage in ("pipeline.denoise", "pipeline.diffusability"):
        made, values = sys.modules["pipeline.denoisers"], np.random.default_rng(0).random((12, 1, 8, 8), np.float32)
        space = made.Space(lambda rows: values[rows], (1, 8, 8), *np.arange(12).reshape(2, 6), np.arange(12))
        small = {"steps": 1, "channels": [8, 8], "width": 16, "depth": 1}
        small = {key: value for key, value in small.items() if key in spec.model_fields}
        fitted, how = spec(family=family, **small).fit(space), sys.modules["pipeline.diffusion"].Diffusability()
        list(spec(family=family, **small).measure(fitted.tensors, space, [1.0], how))
    if stage == "pipeline.finetune" and family in ("diffusers-kl", "diffusers-tiny"):
        stage, folds = sys.modules["pipeline.finetune"], sys.modules["pipeline.folds"]
        parent, split = spec(family=family, folder=shipped[family]), folds.Split(0, *np.arange(6).reshape(3, 2))
        images = types.SimpleNamespace(shape=(1, 16, 16), read=lambda a, b: np.zeros((b - a, 1, 16, 16), np.float32))
        recipe = stage.Spec(family="finetuned", parent="x", steps=1)
        with redirect_stderr(io.StringIO()):
            stage.finetune(recipe, parent, images, split, "", Path(folder) / family)
    if stage == "pipeline.pretrain":
        recipe = json.loads((Path(shipped[family]) / "recipe.json").read_text()) | {"images": 2, "steps": 1, "batch": 2}
        pretrain = sys.modules["pipeline.pretrain"]
        pretrain.pretrain(pretrain.Recipe(**recipe), Path(folder) / f"{os.getpid()}")

def child(stage, module=None):
    for name in (stage, module):
        if name:
            importlib.import_module(name)
    sys.argv = [stage, "--help"]
    with redirect_stdout(io.StringIO()) as text, suppress(SystemExit):
        sys.modules[stage].main()
    assert "usage:" in text.getvalue(), stage
    with redirect_stdout(io.StringIO()):
        exercise(stage, module)
    return sorted(m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "pipeline" and m.__file__)

for case in cases:
    if not (pid := os.fork()):
        status = 1
        try:
            print(json.dumps([case, child(*case)]), flush=True)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, case
'''


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], list[str]]:
    """Which project files each case loads."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("sources")
    Image.new("L", (8, 8)).save(folder / "1.png")
    shipped = {family: str(ROOT / "resources/weights" / name) for family, name in SHIPPED.items()}
    argument = json.dumps([str(folder), CASES, shipped])
    done = subprocess.run([sys.executable, "-c", RUNNER, argument], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {tuple(case): found for case, found in lines}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_everything_that_a_stage_loads_is_declared(
    loaded: dict[tuple[str, ...], list[str]], case: tuple[str, ...]
) -> None:
    found = {Path(path) for path in loaded[case]}
    assert SOURCE / "pipeline" / f"{case[0].split('.')[1]}.py" in found
    assert found <= set(files(*case))


@pytest.mark.parametrize("stage", ["encode", "train", "inspect"])
def test_another_family_is_not_declared(stage: str) -> None:
    kind = FAMILIES[stage]
    for family in families.names(kind):
        declared = {path.stem for path in files(f"pipeline.{stage}", families.module_name(kind, family))}
        others = {other.replace("-", "_") for other in families.names(kind) if other != family}
        assert not declared & others or family in MADE_OF_OTHERS


def test_every_stage_with_a_command_line_is_tested_here() -> None:
    stages = {
        path.stem for path in (SOURCE / "pipeline").glob("*.py") if 'if __name__ == "__main__"' in path.read_text()
    }
    assert stages == {case[0].split(".")[1] for case in CASES}


def test_files_are_sorted_exist_and_hold_the_packages_they_are_in() -> None:
    found = files("pipeline.train", "pipeline.heads.knn")
    assert list(found) == sorted(set(found))
    assert all(path.is_file() and path.suffix == ".py" for path in found)
    assert {SOURCE / "pipeline/__init__.py", SOURCE / "pipeline/heads/__init__.py"} <= set(found)
    assert SOURCE / "pipeline/evaluate.py" not in found


def test_all_ways_to_import_are_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import os, pipeline.a as b\nfrom pipeline import c\nfrom pipeline.d import e\nimport pipelines.no\n"
        "def f():\n    import pipeline.g.h\n    if True:\n        from pipeline.i import j as k\n"
    )
    named = set(imports(module))
    expected = {"pipeline.a", "pipeline", "pipeline.c", "pipeline.d", "pipeline.d.e", "pipeline.g.h", "pipeline.i"}
    assert expected <= named <= expected | {"pipeline.i.j"}


def test_no_module_imports_relatively_where_it_would_not_be_seen() -> None:
    for path in (SOURCE / "pipeline").rglob("*.py"):
        assert "from ." not in path.read_text(), path


WRITTEN = """
LIMIT = 3
def f(x, *, y=None):
    return [f"{x:.2f}", "text", x[1:], y is None, not -1]
class Spec:
    size: int = 1
"""
SAME = """
# A comment.
'''A module.'''
LIMIT = (
    3  # Three.
)
'''As many as there are.'''


def f(x, *, y=None):
    '''Say what it is.'''
    return [f'{x:.2f}', "text", x[1:], (y is None), not -1]


class Spec:
    '''A specification.'''

    size: int = 1
    '''How large.'''
"""


@pytest.fixture
def meant(tmp_path: Path) -> Callable[[str], str]:
    """Return what stands for the meaning of a module with this text."""

    def written(text: str) -> str:
        path = tmp_path / "module.py"
        path.write_text(text)
        return meaning(path)

    return written


def test_comments_docstrings_and_layout_mean_nothing(meant: Callable[[str], str]) -> None:
    assert meant(SAME) == meant(WRITTEN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3", "3.0"),
        ("LIMIT", "Limit"),
        (".2f", ".3f"),
        ('"text"', '"Text"'),
        ('"text"', 'b"text"'),
        ("x[1:]", "x[:1]"),
        ("=None", "=0"),
        ("y is None", "y is not None"),
        ("not -1", "not 1"),
        ("*, y", "y"),
        ("size: int = 1", "size: int = True"),
        ("size: int = 1", "size: int"),
        ("size: int = 1", "size = 1"),
        ("def f", "async def f"),
        ("    return", "    x += 1\n    return"),
        ("return", "yield"),
    ],
)
def test_whatever_else_is_written_counts(meant: Callable[[str], str], old: str, new: str) -> None:
    assert old in WRITTEN
    assert meant(WRITTEN.replace(old, new, 1)) != meant(WRITTEN)


def test_every_name_and_number_of_a_module_counts(meant: Callable[[str], str]) -> None:
    text = (SOURCE / "pipeline/fisher.py").read_text()
    known, lines = meant(text), text.splitlines(keepends=True)
    # Outside comments and strings, as another module of Python finds them.
    found = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type in (tokenize.NAME, tokenize.NUMBER) and not keyword.iskeyword(token.string)
    ]
    assert len(found) > 200
    for token in found:
        (row, start), (_, end) = token.start, token.end
        other = f"{token.string}0" if token.type == tokenize.NAME else f"1{token.string}"
        line = lines[row - 1]
        changed = line[:start] + other + line[end:]
        assert meant("".join([*lines[: row - 1], changed, *lines[row:]])) != known, token


def test_programs_read_their_docstrings_for_their_help_alone() -> None:
    for path in (SOURCE / "pipeline").rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if "__doc__" in line]
        assert all("description=__doc__" in line or "help=main.__doc__" in line for line in lines), path
