"""Every training that one head needs in one space: folds, seeds, shares of the labels, and a search of its settings."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.folds import NOT_TESTED, Split, fraction_of
from pipeline.heads import ALONE, Fitted, HeadSpec, Point, Space, Support, selection_score
from pipeline.kept import Kept
from pipeline.progress import progress


@dataclass(frozen=True)
class Trials:
    """The trainings of one head in one space.

    Attributes:
        spec: the head's entry.
        space: what it may look at.
        parts: all tested folds.
        patients: of all samples.
        seeds: to train with.
        folds: the only ones that are trained for; none: all.
        support: what the training of one fold and seed is given.
        kept: what an earlier job has finished already.
    """

    spec: HeadSpec
    space: Space
    parts: list[Split]
    patients: NDArray[np.generic]
    seeds: list[int]
    folds: Sequence[int] = ()
    support: Callable[[Split, int], Support] = lambda split, seed: ALONE
    kept: Kept | None = None

    def run(self) -> Iterator[tuple[Split, int, Fitted]]:
        """Train for every fold and seed, each on the share of labels that the head may see.

        Raises:
            StudyError: one of the folds is not tested.
        """
        if unknown := set(self.folds) - {split.fold for split in self.parts}:
            raise StudyError(f"fold {min(unknown)} is not one that is tested{NOT_TESTED}")
        asked = [split for split in self.parts if not self.folds or split.fold in self.folds]
        todo = [(split, seed) for split in asked for seed in self.seeds]
        chosen: dict[int, HeadSpec] = {}
        for whole, seed in progress(todo, len(todo), "training", " folds and seeds"):
            split = share(self.spec, self.space, whole, self.patients)
            if whole.fold not in chosen:
                chosen[whole.fold], fitted = self._searched(split, seed)
            else:
                fitted = self._one(chosen[whole.fold], split, seed)
            yield split, seed, self._along(chosen[whole.fold], whole, seed, fitted)

    def _searched(self, split: Split, seed: int) -> tuple[HeadSpec, Fitted]:
        """Train every candidate and return the one with the best validation score, its curve with those of all."""
        tried = [(candidate, self._one(spec, split, seed), spec) for candidate, spec in candidates(self.spec)]
        if len(tried) == 1:
            return tried[0][2], tried[0][1]
        scores = [selection_score(self.space, split.validation, fitted.validation) for _, fitted, _ in tried]
        best = int(np.argmax(scores))
        curves = [
            fitted.curve.assign(candidate=candidate, candidate_validation=score, chosen=number == best)
            for number, ((candidate, fitted, _), score) in enumerate(zip(tried, scores, strict=True))
        ]
        return tried[best][2], replace(tried[best][1], curve=pd.concat(curves, ignore_index=True))

    def _along(self, spec: HeadSpec, whole: Split, seed: int, fitted: Fitted) -> Fitted:
        """Add what the head scores with smaller shares of the labels."""
        points = []
        for fraction in sorted(spec.fractions):
            part = share(spec.model_copy(update={"label_fraction": fraction}), self.space, whole, self.patients)
            less = self._one(spec, part, seed, f".fraction{fraction:g}")
            points.append(Point("fraction", fraction, less.validation, less.test))
        return replace(fitted, profile=(*points, *fitted.profile))

    def _one(self, spec: HeadSpec, split: Split, seed: int, name: str = "") -> Fitted:
        """Return one trained head: kept from an earlier job, or trained now and kept."""
        name = f"fold{split.fold}.seed{seed}{name}.{_short(spec)}"
        if self.kept and (found := self.kept.read(name)):
            return found
        # The published scheme seeds by fold; a second seed must differ in every fold.
        support = self.support(split, seed)
        support = replace(support, identity=f"{support.identity}.{name}")
        fitted = spec.fit(self.space, split, seed * len(self.parts) + split.fold, support)
        if self.kept:
            self.kept.write(name, fitted)
        return fitted


def candidates(spec: HeadSpec) -> list[tuple[str, HeadSpec]]:
    """Return the settings that a search chooses among as JSON, each with its head; one where nothing is searched.

    Raises:
        StudyError: a setting is none of the head's.
    """
    if not spec.search:
        return [("{}", spec)]
    found = []
    for values in itertools.product(*spec.search.values()):
        settings = dict(zip(spec.search, values, strict=True))
        found.append((json.dumps(settings), _with(spec, settings)))
    return found


def _with(spec: HeadSpec, settings: dict[str, Any]) -> HeadSpec:
    written = spec.model_dump(mode="json", exclude_unset=True, exclude={"search"})
    try:
        return type(spec).model_validate({**written, **settings})
    except ValueError as error:
        raise StudyError(f"'search' has settings that the head refuses: {json.dumps(settings)}: {error}") from None


def _short(spec: HeadSpec) -> str:
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:12]


def share(spec: HeadSpec, space: Space, split: Split, patients: NDArray[np.generic]) -> Split:
    """Return the split with the training rows whose labels the head may see.

    Raises:
        StudyError: what is left has nothing to tell apart.
    """
    if spec.label_fraction == 1:
        return split
    part = fraction_of(split, space.labels, patients, spec.label_fraction, spec.label_seed)
    given = space.labels[part.train]
    if not ((given == 1).any(axis=0) & (given == 0).any(axis=0)).any():
        raise StudyError(
            f"with the label_fraction {spec.label_fraction} fold {split.fold} trains on {len(part.train)} samples, "
            "which leaves nothing to tell apart"
        )
    return part
