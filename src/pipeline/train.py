"""Stage train: one head in one space, over every fold and seed."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from pipeline import families, labels, pool, reuse, sources, views
from pipeline.ending import ending
from pipeline.errors import StudyError
from pipeline.files import sha256, write_atomically
from pipeline.folds import Split, splits
from pipeline.heads import HeadSpec, Space, Support
from pipeline.kept import Kept
from pipeline.predictions import predictions, profile, taught, training
from pipeline.program import run
from pipeline.spaces import check_used, held, space
from pipeline.store import check
from pipeline.trials import Trials

SETTINGS = ("spec", "classes", "task", "image_size", "pixels", "seeds", "folds", "decoder")
FILES = ("predictions", "profile", "training", "weights", "curves")
"""What is written, by the names of the program's options."""


def supports(
    spec: HeadSpec, asked: argparse.Namespace, data: Space, made_from: str, ended: Callable[[], bool]
) -> Callable[..., Support]:
    """Return what the training of a fold and seed is given, as a function of the two."""
    teacher = None if asked.teacher is None else pd.read_parquet(asked.teacher)
    initial = None if asked.initial is None else load_file(asked.initial)
    stages = spec.stages(asked.decoder, asked.store) if asked.decoder else None

    def support(split: Split, seed: int) -> Support:
        return Support(
            teacher=None if teacher is None else taught(teacher, split, seed, len(data.views)),
            # Heads on other images are trained for one fold alone.
            initial=None if initial is None else _of(initial, f"fold0.seed{seed}.", asked.initial),
            stages=stages,
            checkpoint=asked.unfinished / "checkpoint",
            identity=made_from,
            ended=ended,
        )

    return support


def _of(tensors: dict[str, Any], prefix: str, path: Path) -> dict[str, Any]:
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not found:
        raise StudyError(f"{path} holds no head {prefix[:-1]}")
    return found


def identity(asked: argparse.Namespace, spec: HeadSpec, data: Space) -> str:
    """Return a hash of everything that the head's files depend on."""
    settings = {name: getattr(asked, name) for name in SETTINGS}
    for name in ("teacher", "initial"):
        path: Path | None = getattr(asked, name)
        settings[name] = None if path is None else sha256(path)
    modules = [families.module_name("heads", spec.family)]
    settings["files"] = [sha256(Path(path)) for path in (*spec.files(), *asked.decoder_files)]
    if asked.decoder:
        modules.append(families.module_name("autoencoders", json.loads(asked.decoder)["family"]))
    code = sources.files("pipeline.train", *modules)
    return reuse.identity([data.values, *data.views], asked.index, settings, code)


def fit(spec: HeadSpec, data: Space, index: pd.DataFrame, asked: argparse.Namespace, made_from: str) -> None:
    """Train for every fold and seed and write what came of it; what is finished is kept where the job ends early."""
    parts, patients = splits(index), index["patient"].to_numpy()
    check_used(data, parts)
    kept = Kept(asked.unfinished, made_from)
    tables: dict[str, list[pd.DataFrame]] = {"predictions": [], "profile": [], "training": [], "curves": []}
    tensors: dict[str, np.ndarray] = {}
    with ending() as ended:
        support = supports(spec, asked, data, made_from, ended)
        for split, seed, fitted in Trials(spec, data, parts, patients, asked.seeds, asked.folds, support, kept).run():
            tables["predictions"].append(predictions(split, seed, fitted))
            tables["profile"].append(profile(split, seed, fitted))
            tables["training"].append(training(split, seed, fitted))
            tables["curves"].append(fitted.curve.assign(fold=split.fold, seed=seed))
            named = {f"fold{split.fold}.seed{seed}.{name}": value for name, value in fitted.tensors.items()}
            tensors |= {name: np.asarray(value, order="C") for name, value in named.items()}
            if ended():
                raise StudyError(f"ended after fold {split.fold}, seed {seed}; the next call goes on from there")
    write(asked, tables, tensors)
    kept.remove()


def write(asked: argparse.Namespace, tables: dict[str, list[pd.DataFrame]], tensors: dict[str, np.ndarray]) -> None:
    """Write the tables and the weights."""
    write_atomically(asked.weights, lambda path: save_file(dict(sorted(tensors.items())), path))
    curves = _joined(tables["curves"])
    write_atomically(asked.curves, lambda path: curves.to_csv(path, index=False))
    for name in ("predictions", "profile", "training"):
        table = _joined(tables[name])
        write_atomically(getattr(asked, name), lambda path, table=table: table.to_parquet(path, index=False))  # type: ignore[misc]


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    tables = list(tables)
    # Empty ones would change the others' types.
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def arguments() -> argparse.ArgumentParser:
    """Return the program's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the head's entry of the configuration as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--views", type=Path, nargs="*", default=[], help="stores of the augmented samples")
    parser.add_argument("--view-manifests", type=Path, nargs="*", default=[], help="of all views, one after the other")
    parser.add_argument("--classes", required=True, help="the class names as JSON, in order")
    parser.add_argument("--task", choices=get_args(labels.Task), required=True)
    parser.add_argument("--image-size", type=int, required=True, help="side of the images in pixels")
    parser.add_argument("--pixels", action="store_true", help="the values are pixels")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--folds", type=int, nargs="*", default=[], help="train for these folds only; none: for all")
    parser.add_argument("--teacher", type=Path, help="what the teacher says of its training samples")
    parser.add_argument("--initial", type=Path, help="heads that were trained on other images in the same space")
    parser.add_argument("--decoder", help="the autoencoder's entry as JSON, for heads that look at its decoder")
    parser.add_argument("--decoder-files", type=Path, nargs="*", default=[], help="what it is loaded from")
    for name in FILES:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True, help="the data set's heads, one of which may be the same")
    parser.add_argument("--made-from", type=Path, required=True)
    parser.add_argument("--unfinished", type=Path, required=True, help="hidden folder for what is finished")
    return parser


def main() -> None:
    """Train one head in one space and write its predictions, weights and curves."""
    asked = arguments().parse_args()
    spec = families.spec("heads", json.loads(asked.spec))
    if not isinstance(spec, HeadSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a HeadSpec")
    check(asked.store, asked.manifests)
    index = pd.read_parquet(asked.index)
    exclusive, classes = asked.task != "multi-label", json.loads(asked.classes)
    data = space(asked.store, index, classes, exclusive, asked.image_size, pixels=asked.pixels)
    data = held(replace(data, views=views.read(asked.views, asked.view_manifests, data.values.shape)))
    made_from = identity(asked, spec, data)
    files = [getattr(asked, name) for name in FILES]
    # Its code is in its identity.
    if pool.taken("train", {"identity": made_from}, [], [*files, asked.made_from]):
        return
    if same := reuse.take_over(asked.heads, made_from, files):
        sys.stderr.write(f"trained on the same values before: copied from {same}\n")
    else:
        fit(spec, data, index, asked, made_from)
    reuse.record(asked.made_from, made_from, files)
    reuse.keep(asked.unfinished, asked.made_from, files)


if __name__ == "__main__":
    run(main)
