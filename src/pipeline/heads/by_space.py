"""One head on pixels and another on latents: protocols, such as the published one, that treat them differently."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.folds import Split
from pipeline.heads import (
    ALONE,
    Fitted,
    HeadSpec,
    Space,
    Support,
    film_convnext,
    knn,
    linear,
    mlp,
    timm,
    transformer,
)
from pipeline.trained import require_part

Entry = Annotated[
    timm.Spec | film_convnext.Spec | transformer.Spec | mlp.Spec | linear.Spec | knn.Spec,
    Field(discriminator="family"),
]


class Spec(HeadSpec):
    """Which head takes images and reconstructions, and which takes latents; the share of labels is said here."""

    device: ClassVar[bool] = True
    family: Literal["by-space"]
    pixels: Entry
    """The head that takes images and reconstructions."""
    latents: Entry
    """The head that takes latents."""

    @model_validator(mode="after")
    def _parts_say_nothing_of_the_whole(self) -> Self:
        require_part(self.pixels, "pixels")
        require_part(self.latents, "latents")
        return self

    def passes(self, pixels: bool) -> int:
        """Return how often the one that is for this space goes over its samples."""
        return (self.pixels if pixels else self.latents).passes(pixels)

    def files(self) -> list[str]:
        """Return the files of both."""
        return list(dict.fromkeys([*self.pixels.files(), *self.latents.files()]))

    def sees_views(self) -> bool:
        """Tell whether views are trained on: not as is published, where latents are of images as they are."""
        return self.protocol == "matched"

    def check_task(self, exclusive: bool) -> None:
        """Refuse a loss that is for the other kind of labels."""
        self.pixels.check_task(exclusive)
        self.latents.check_task(exclusive)

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Train the one that is for this space."""
        entry = self.pixels if space.pixels else self.latents
        return entry.fit(space, split, seed, support)
