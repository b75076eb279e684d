"""Augmented copies of a data set's images, its views: what they are called, how many there are, and reading them.

A view has stores like a data set of its own: `<dataset>.view<number>` is encoded and decoded by the same rules as
`<dataset>`. Names of data sets hold no dots, so no data set can be taken for a view.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.errors import StudyError
from pipeline.spec import Spec
from pipeline.store import check
from pipeline.stored import Stored

NAME = re.compile(r"(?P<dataset>[^.]+)\.view(?P<number>0|[1-9][0-9]*)")


class Augmentation(Spec):
    """What the configuration says of augmentation: the same in every space, done to the image before it is encoded."""

    views: Annotated[int, Field(ge=0)] = 0
    """Augmented copies of every image. 0: heads see the images as they are, alone. [images]"""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability that left and right are exchanged. 0 where sides mean something, as they do in a thorax. [1]"""
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Images are turned about their centre by an angle drawn evenly from minus to plus so many degrees. [degrees]"""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of what is drawn."""

    def drawing(self) -> str:
        """Return what a view depends on as JSON: more views leave those that are there as they are."""
        return self.model_dump_json(exclude={"views"})


def name(dataset: str, number: int) -> str:
    """Return what a view's stores are called."""
    return f"{dataset}.view{number}"


def dataset_of(stored: str) -> str:
    """Return the data set that stores of this name belong to: itself, or that of a view."""
    match = NAME.fullmatch(stored)
    return match["dataset"] if match else stored


def number_of(stored: str) -> int:
    """Return which view stores of this name are; raise StudyError where they are none."""
    match = NAME.fullmatch(stored)
    if not match:
        raise StudyError(f"{stored!r} is not a view; views are called <dataset>.view<number>")
    return int(match["number"])


def read(stores: Sequence[Path], manifests: Sequence[Path], shape: tuple[int, ...]) -> tuple[Stored, ...]:
    """Open the views of one space, each N x c x h x w, raw, in the order of the stores.

    Args:
        stores: one for each view.
        manifests: those of the first view's shards, then those of the second's, as many for each.
        shape: (N, c, h, w) of the space itself, which every view has, too.

    Raises:
        StudyError: a shard is not what its manifest describes, or a view is not of the same samples.
    """
    if not stores:
        return ()
    if len(manifests) % len(stores):
        raise StudyError(f"there are {len(manifests)} manifests for {len(stores)} views; give as many for each")
    per_view, found = len(manifests) // len(stores), []
    for number, store in enumerate(stores):
        check(store, manifests[number * per_view : (number + 1) * per_view])
        view = Stored(store)
        if view.shape != tuple(shape):
            raise StudyError(f"{store} holds {len(view)} samples of {view.shape[1:]}, and its space {tuple(shape)}")
        found.append(view)
    return tuple(found)
