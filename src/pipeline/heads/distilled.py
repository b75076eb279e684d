"""A student that learns a teacher's logits beside the labels: what a latent space can hold of an image classifier."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support, film_convnext, mlp, timm, transformer
from pipeline.trained import require_part

Student = Annotated[
    timm.Spec | film_convnext.Spec | transformer.Spec | mlp.Spec,
    Field(discriminator="family"),
]


class Spec(HeadSpec):
    """The student's entry, and the head whose fit in image space, on the same training rows, is its teacher.

    The loss is `weight` times that of the labels, plus 1 - `weight` times the mean squared difference of the logits. Of
    noisy inputs the teacher's logits are those of the clean image.
    """

    device: ClassVar[bool] = True
    family: Literal["distilled"]
    teacher: str
    """The name of a head that is a network."""
    student: Student
    """The head that learns from the teacher."""
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the labels; paper 1: 0.5. [1]"""

    @model_validator(mode="after")
    def _student_says_nothing_of_the_whole(self) -> Self:
        require_part(self.student, "student")
        return self

    def passes(self, pixels: bool) -> int:
        """Return how often the student goes over its samples."""
        return self.student.passes(pixels)

    def files(self) -> list[str]:
        """Return the files of the student."""
        return self.student.files()

    def sees_views(self) -> bool:
        """Tell that the student is trained on views, as its teacher is."""
        return True

    def teachers(self) -> list[str]:
        """Return the names of the heads that must be trained before."""
        return [self.teacher]

    def check_task(self, exclusive: bool) -> None:
        """Refuse a loss that is for the other kind of labels."""
        self.student.check_task(exclusive)

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Train the student, keep the epoch that is best on the validation rows, score both others."""
        from pipeline.networks.trainer import fit

        if support.teacher is None:
            raise StudyError(f"the logits of the teacher '{self.teacher}' are missing; train it on this data set first")
        return fit(self.student, space, split, seed, support, imitation=1 - self.weight)
