"""Heads that name other entries of the study: data sets, autoencoders, teachers, and images to start from."""

import copy
from typing import Any, Literal

import pytest

from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support
from pipeline.plan import Plan
from pipeline.study import Study
from tests.test_study import GOOD


class Student(HeadSpec):
    """A head that does nothing but name a teacher."""

    family: Literal["student"]
    teacher: str

    def teachers(self) -> list[str]:
        return [self.teacher]

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        raise NotImplementedError


def study(**heads: dict[str, Any]) -> Study:
    """The usual study with these heads, and a data set to start from."""
    config = copy.deepcopy(GOOD)
    config["pretraining"] = {"first": {**GOOD["datasets"]["mine"], "root": "elsewhere"}}
    config["heads"] = {"near": {"family": "knn"}, **heads}
    return Study(config)


def refused(**heads: dict[str, Any]) -> str:
    with pytest.raises(StudyError) as caught:
        study(**heads)
    return caught.value.message


def test_a_head_is_trained_where_it_is_said_and_elsewhere_not() -> None:
    plan = Plan(study(few={"family": "linear", "datasets": ["mine"], "autoencoders": ["lossy"]}))
    assert plan.heads("mine", "lossy") == ["near", "few"]
    # The pixels are what every space is compared with.
    assert plan.heads("mine", "pixels") == ["near", "few"]
    only = Plan(study(few={"family": "linear", "autoencoders": ["pixels"]}))
    assert only.heads("mine", "lossy") == ["near"]
    assert plan.heads("plain", "lossy") == []


def test_what_says_where_a_head_is_trained_is_no_setting_of_its_training() -> None:
    here = study(few={"family": "linear", "datasets": ["mine"]}).heads["few"]
    assert here.settings() == study(few={"family": "linear"}).heads["few"].settings() == '{"family": "linear"}'


def test_a_data_set_to_start_from_is_in_no_table_and_trained_for_one_fold() -> None:
    plan = Plan(study(late={"family": "linear", "pretrained_on": {"mine": "first"}}))
    assert plan.study.compared == list(GOOD["datasets"])
    assert plan.study.trained("first") == ["late"]
    assert plan.study.trained("mine") == ["near", "late"]
    assert (plan.fold("first", "lossy"), plan.fold("mine", "lossy")) == ([0], [])
    given = plan.given("latent", "mine", "lossy", "late")
    assert given["initial"] == ["results/heads/first/lossy/latent/late/heads.safetensors"]
    assert plan.given("latent", "first", "lossy", "late")["initial"] == []
    assert not any("first" in path for path in plan.concluded())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"datasets": ["other"]}, "heads: x: there is no data set 'other' with classes"),
        ({"datasets": ["plain"]}, "heads: x: there is no data set 'plain' with classes"),
        ({"autoencoders": ["other"]}, "heads: x: there is no autoencoder 'other'"),
        (
            {"label_fraction": 0.5, "fractions": [0.25, 0.5]},
            "heads: x: 'fractions' must be below 'label_fraction', 0.5: parts of its labels",
        ),
        ({"pretrained_on": {"mine": "mine"}}, "heads: x: 'pretraining' has no data set 'mine' with classes"),
        ({"pretrained_on": {"first": "first"}}, "heads: x: there is no data set 'first' with classes"),
    ],
)
def test_names_that_stand_for_nothing_are_refused(entry: dict[str, Any], reason: str) -> None:
    assert refused(x={"family": "linear", **entry}) == reason


def test_images_of_another_kind_are_nothing_to_start_from() -> None:
    config = copy.deepcopy(GOOD)
    other = {**GOOD["datasets"]["mine"], "pixels": {"size": 32}}
    config |= {"pretraining": {"first": other}, "heads": {"x": {"family": "knn", "pretrained_on": {"mine": "first"}}}}
    with pytest.raises(StudyError, match="have not the size and channels of those of mine"):
        Study(config)


def test_a_teacher_must_exist_teach_there_and_see_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import roster

    def checked(**student: Any) -> str:  # noqa: ANN401
        given = study(near={"family": "knn", "datasets": ["mine"]})
        given.heads["pupil"] = Student(family="student", **student)
        given.heads["second"] = Student(family="student", teacher="pupil")
        if student["teacher"] != "pupil":
            del given.heads["second"]
        try:
            roster.check(given)
        except StudyError as error:
            return error.message
        return ""

    assert checked(teacher="near") == ""
    assert "there is no head 'none'" in checked(teacher="none")
    assert "is taught itself" in checked(teacher="pupil")
    assert "may not see itself" in checked(teacher="near", label_fraction=0.5)
    assert "may not see itself" in checked(teacher="near", fractions=[0.5])


def test_a_name_is_that_of_one_data_set_alone() -> None:
    config = {**copy.deepcopy(GOOD), "pretraining": {"mine": GOOD["datasets"]["mine"]}}
    with pytest.raises(StudyError, match="the name 'mine' is that of two data sets"):
        Study(config)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"scratch": "near"}, "name 'pretrained' or 'published'"),
        ({"scratch": "near", "published": "other"}, "initialisation: published: there is no head 'other'"),
    ],
)
def test_an_initialisation_names_heads_that_can_be_compared(entry: dict[str, str], reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        Study({**copy.deepcopy(GOOD), "initialisation": entry})
