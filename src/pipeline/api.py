"""For notebooks: a study's spaces with their labels and folds, heads trained in them, and the gap between them.

What comes out is what the workflow computes: the same code, seeds, folds and draws.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline import families, spaces, tested, views
from pipeline.errors import StudyError
from pipeline.evaluate import Settings, evaluate
from pipeline.folds import splits
from pipeline.heads import HeadSpec
from pipeline.opened import LabelledSpace, OpenStudy, open_study
from pipeline.plan import Plan
from pipeline.predictions import predictions
from pipeline.quantities import SPACES
from pipeline.store import check
from pipeline.study import Study
from pipeline.trials import Trials

__all__ = ["LabelledSpace", "OpenStudy", "fit", "gap", "load_space", "open_study", "read_predictions"]

SpaceName = Literal["image", "reconstruction", "latent"]


def load_space(
    study: OpenStudy,
    dataset: str,
    autoencoder: str,
    space: SpaceName = "latent",
    *,
    fold: int | None = None,
    with_views: bool = True,
) -> LabelledSpace:
    """Read a space that the study has made, whole; every shard is compared with its manifest.

    Args:
        study: opened.
        dataset: one of its data sets, with classes.
        autoencoder: one of its autoencoders; of the space `image` it says nothing.
        space: `image`, `reconstruction` or `latent`.
        fold: of a fine-tuned autoencoder, which is one for each fold: the fold, which is then the only one.
        with_views: also read the augmented copies that the study's networks are trained on.

    Raises:
        StudyError: a name is unknown, something was not made yet or is damaged, or a fold must be given.
    """
    plan, written = Plan(study.study), study.study.datasets.get(dataset)
    if written is None or not written.classes:
        raise StudyError(
            f"there is no data set {dataset!r} with classes; there are {', '.join(study.study.labelled())}"
        )
    name, kind = _stored(study.study, dataset, autoencoder, space, fold)
    index = pd.read_parquet(study.require(f"results/index/{dataset}.parquet"))
    exclusive, size = written.task != "multi-label", written.pixels.size
    store, manifests = _files(study, plan, dataset, plan.space(kind, dataset, name))
    check(store, manifests)
    pixels = plan.pixels(kind, name)
    data = spaces.space(store, index, written.classes, exclusive, size, pixels=pixels)
    if with_views:
        found = [_files(study, plan, dataset, plan.space(kind, view, name)) for view in plan.views(dataset)]
        listed = [manifest for _, of_view in found for manifest in of_view]
        data = replace(data, views=views.read([folder for folder, _ in found], listed, data.values.shape))
    parts = tuple(split for split in splits(index) if fold is None or split.fold == fold)
    if not parts:
        raise StudyError(f"the data set {dataset} has no fold {fold}")
    return LabelledSpace(spaces.held(data), index, parts, written.classes, written.task, written.unit)


def _stored(study: Study, dataset: str, autoencoder: str, space: str, fold: int | None) -> tuple[str, str]:
    """Return the name of the stores and the kind of space that a name and a space stand for."""
    if space not in SPACES:
        raise StudyError(f"there is no space {space!r}; there are {', '.join(SPACES)}")
    if space == "image":
        return study.baseline(), "latent"
    if autoencoder not in study.autoencoders:
        raise StudyError(f"there is no autoencoder {autoencoder!r}; there are {', '.join(study.autoencoders)}")
    members = [m for m in study.members(dataset, autoencoder) if m.fold is None or fold is None or m.fold == fold]
    if len(members) != 1:
        raise StudyError(f"{autoencoder} is one autoencoder for each fold of {dataset}; say which by 'fold'")
    if space == "reconstruction" and not members[0].spec.decodes:
        raise StudyError(f"{autoencoder} has no decoder, so there is no reconstruction")
    return members[0].name, space


def _files(study: OpenStudy, plan: Plan, dataset: str, folder: str) -> tuple[Path, list[Path]]:
    study.require(f"{folder}.zarr/zarr.json")
    return study.folder / f"{folder}.zarr", [study.require(path) for path in plan.beside(dataset, folder)]


def fit(
    head: HeadSpec | Mapping[str, Any], data: LabelledSpace, seeds: Sequence[int] = (0,), folds: Iterable[int] = ()
) -> pd.DataFrame:
    """Train a head in a space for every fold and seed, and return what it says of validation and test samples.

    Args:
        head: an entry as in the configuration, one of `study.heads`, or a head of your own: see docs/command-line.md.
        data: from `load_space`.
        seeds: one training of every fold for each.
        folds: the only folds; none: all.

    Returns:
        The columns of `predictions.parquet` (docs/outputs.md).

    Raises:
        StudyError: the head cannot be trained on such labels, or needs a teacher, a decoder or other images.
    """
    spec = head if isinstance(head, HeadSpec) else families.spec("heads", dict(head))
    if not isinstance(spec, HeadSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a HeadSpec")
    if spec.teachers() or spec.needs_decoder or spec.pretrained_on:
        raise StudyError(f"a head of the family {spec.family} is trained from more than a space: by the workflow alone")
    spec.check_task(data.space.exclusive)
    space = data.space if spec.sees_views() else replace(data.space, views=())
    parts = list(data.parts)
    spaces.check_used(space, parts)
    patients = data.index["patient"].to_numpy()
    asked = list(folds) or [split.fold for split in parts]
    # All folds of the data set, since seeds count through them.
    trials = Trials(spec, space, splits(data.index), patients, list(seeds), asked)
    tables = [predictions(split, seed, fitted) for split, seed, fitted in trials.run()]
    return pd.concat(tables, ignore_index=True)


def read_predictions(
    study: OpenStudy, dataset: str, autoencoder: str, space: SpaceName = "latent", *, head: str
) -> pd.DataFrame:
    """Return what a head of the study said in one space: the columns of `predictions.parquet` (docs/outputs.md).

    Raises:
        StudyError: that head was not trained there, or not yet.
    """
    if space == "image":
        autoencoder, space = study.study.baseline(), "latent"
    plan = Plan(study.study)
    if dataset not in study.datasets or autoencoder not in study.autoencoders:
        raise StudyError(f"the study has no autoencoder {autoencoder!r} on a data set {dataset!r}")
    if head not in plan.heads(dataset, autoencoder):
        raise StudyError(f"the head {head!r} is not trained in the spaces of {autoencoder} on {dataset}")
    return tested.read([study.require(path) for path in plan.predictions(space, dataset, autoencoder, head)])


def gap(data: LabelledSpace, found: Mapping[str, pd.DataFrame], replicates: int = 1000) -> pd.DataFrame:
    """Return the information loss and the learnability gap of a head, with paired 95 % intervals that draw patients.

    Args:
        data: any space of the data set: its labels, patients and folds are what counts.
        found: what the head said by space, `image` and `latent` at least: from `fit` or `read_predictions`.
        replicates: of the bootstrap.

    Returns:
        One row a metric: the columns of `gap.csv` (docs/outputs.md).

    Raises:
        StudyError: the spaces were not tested with the same samples, folds and seeds.
    """
    if unknown := set(found) - set(SPACES):
        raise StudyError(f"there is no space {min(unknown)!r}; there are {', '.join(SPACES)}")
    if missing := {"image", "latent"} - set(found):
        raise StudyError(f"the predictions in {min(missing)} space are missing")
    known = tested.truth(data.index, data.classes, data.task, data.unit)
    ordered = {space: found[space] for space in SPACES if space in found}
    return evaluate(known, ordered, {}, Settings(replicates))["gap"]
