"""What heads, data sets and autoencoders of one study must be to one another."""

from typing import TYPE_CHECKING

from pipeline.errors import StudyError
from pipeline.heads import HeadSpec

if TYPE_CHECKING:
    from pipeline.study import Study


def check(study: "Study") -> None:
    """Raise StudyError for the first head that the study's other entries do not fit."""
    if taken := set(study.entries.datasets) & set(study.entries.pretraining):
        raise StudyError(f"the name {min(taken)!r} is that of two data sets, one of them in 'pretraining'")
    for name, head in study.heads.items():
        try:
            _named(study, head)
            if any(fraction >= head.label_fraction for fraction in head.fractions):
                raise StudyError(
                    f"'fractions' must be below 'label_fraction', {head.label_fraction:g}: parts of its labels"
                )
            _pretrained(study, head)
            for teacher in head.teachers():
                _taught(study, head, teacher)
        except StudyError as error:
            raise StudyError(f"heads: {name}: {error.message}") from None
    for name, denoiser in study.denoisers.items():
        for kind, named, there in (
            ("data set", denoiser.datasets, study.compared),
            ("autoencoder", denoiser.autoencoders, [*study.autoencoders]),
        ):
            if strange := set(named) - set(there):
                raise StudyError(f"denoisers: {name}: there is no {kind} {min(strange)!r}")
    _tasks(study)
    if study.entries.initialisation:
        for key, name in study.entries.initialisation.named().items():
            if name not in study.heads:
                raise StudyError(f"initialisation: {key}: there is no head {name!r}")


def _named(study: "Study", head: HeadSpec) -> None:
    for dataset in (*head.datasets, *head.pretrained_on):
        if dataset not in study.labelled():
            raise StudyError(f"there is no data set {dataset!r} with classes")
    for autoencoder in head.autoencoders:
        if autoencoder not in study.autoencoders:
            raise StudyError(f"there is no autoencoder {autoencoder!r}")


def _pretrained(study: "Study", head: HeadSpec) -> None:
    for dataset, first in head.pretrained_on.items():
        if first not in study.entries.pretraining or not study.datasets[first].classes:
            raise StudyError(f"'pretraining' has no data set {first!r} with classes")
        own, other = (study.datasets[name].pixels for name in (dataset, first))
        if (own.size, own.channels) != (other.size, other.channels):
            raise StudyError(f"the images of {first} have not the size and channels of those of {dataset}")


def _taught(study: "Study", head: HeadSpec, name: str) -> None:
    teacher = study.heads.get(name)
    if teacher is None:
        raise StudyError(f"there is no head {name!r} to learn from")
    if teacher.teachers():
        raise StudyError(f"its teacher {name!r} is taught itself, which could go round in circles")
    if head.fractions or (teacher.label_fraction, teacher.label_seed) != (head.label_fraction, head.label_seed):
        raise StudyError(f"it would learn from its teacher {name!r} what labels say that it may not see itself")
    for dataset in study.labelled():
        if head.trained_on(dataset) and not teacher.trained_on(dataset):
            raise StudyError(f"its teacher {name!r} is not trained on the data set {dataset}")


def _tasks(study: "Study") -> None:
    for dataset in study.datasets:
        for name in study.trained(dataset):
            try:
                study.heads[name].check_task(study.datasets[dataset].task != "multi-label")
            except StudyError as error:
                raise StudyError(f"heads: {name}: on the data set {dataset}, {error}") from None
