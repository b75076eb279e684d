"""An entry is one autoencoder, or one for each fold that is tested."""

from typing import Any

import pytest

from pipeline.errors import StudyError
from pipeline.plan import Plan
from pipeline.study import Study

TINY = {"family": "diffusers-tiny", "folder": "resources/weights/tiny"}
PIXELS = {"size": 16}


def study(autoencoders: dict[str, dict[str, Any]], **datasets: dict[str, Any]) -> Study:
    found = {"identity": {"family": "identity"}, "tiny": TINY, **autoencoders}
    common = {"family": "folders", "root": "images", "pixels": PIXELS}
    entries = {name: common | {"classes": ["a", "b"], "folds": 3} | options for name, options in datasets.items()}
    return Study({"datasets": entries, "autoencoders": found, "heads": {"knn": {"family": "knn"}}})


def tuned(**options: object) -> dict[str, dict[str, Any]]:
    return {"tuned": {"family": "finetuned", "parent": "tiny", **options}}


def names(made: Study, dataset: str, autoencoder: str) -> list[str]:
    return [member.name for member in made.members(dataset, autoencoder)]


def test_a_fine_tuned_entry_is_one_for_each_tested_fold() -> None:
    made = study(tuned(), folds={}, official={"split": "official"}, unlabelled={"classes": []})
    assert names(made, "folds", "tuned") == ["tuned-fold0", "tuned-fold1", "tuned-fold2"]
    assert names(made, "official", "tuned") == ["tuned-fold0"]
    assert names(made, "unlabelled", "tuned") == []
    assert names(made, "folds", "tiny") == ["tiny"]
    member = made.members("folds", "tuned")[2]
    assert (member.entry, member.fold, member.spec.family) == ("tuned", 2, "diffusers-tiny")
    assert all(file.startswith("results/weights/folds/tuned-fold2/") for file in member.spec.files())


def test_official_folds_are_tested_in_turn() -> None:
    listed = {"family": "filelist", "labels": "labels.csv", "fold_column": "fold", "split": "official", "folds": 4}
    assert len(study(tuned(), listed=listed).members("listed", "tuned")) == 4


def test_only_the_named_data_sets_have_it() -> None:
    made = study(tuned(datasets=["one"]), one={}, two={})
    plan = Plan(made)
    assert plan.autoencoders("one") == ["identity", "tiny", "tuned"]
    assert plan.autoencoders("two") == ["identity", "tiny"]
    assert names(made, "two", "tuned") == []


def test_heads_of_a_member_are_trained_for_its_fold_and_joined_in_evaluation() -> None:
    plan = Plan(study(tuned(), one={}))
    assert plan.fold("one", "tuned-fold1") == [1]
    assert plan.fold("one", "tiny") == []
    expected = [f"results/heads/one/tuned-fold{fold}/latent/knn/predictions.parquet" for fold in range(3)]
    assert plan.predictions("latent", "one", "tuned", "knn") == expected


def test_without_a_decoder_there_are_no_reconstructions() -> None:
    features = {"features": {"family": "timm-features", "model": "resnet10t", "weights": None, "seed": 0}}
    plan = Plan(study(features, one={}))
    assert plan.predictions("reconstruction", "one", "features", "knn") == []
    assert len(plan.predictions("latent", "one", "features", "knn")) == 1
    assert not [path for path in plan.stores("one") if path.startswith("results/reconstructions/one/features")]
    assert [path for path in plan.stores("one") if path.startswith("results/latents/one/features")]
    assert not [path for path in plan.tabulated("one") if path.startswith("results/fidelity/one/features")]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"parent": "other"}, "there is no autoencoder 'other' to start from"),
        ({"parent": "identity"}, "identity cannot be fine-tuned"),
        ({"datasets": ["two"]}, "no data set 'two' with classes"),
        ({"datasets": ["unlabelled"]}, "no data set 'unlabelled' with classes"),
    ],
)
def test_an_entry_that_cannot_be_trained_is_refused(entry: dict[str, object], reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        study(tuned(**entry), one={}, unlabelled={"classes": []})


def test_a_name_that_a_member_would_take_is_refused() -> None:
    with pytest.raises(StudyError, match="'tuned-fold1' is also that of its member"):
        study({**tuned(), "tuned-fold1": TINY}, one={})


def test_a_codebook_is_refused_by_the_name_of_the_entry() -> None:
    book = {"book": {"family": "diffusers-vq", "folder": "resources/weights/vq"}}
    with pytest.raises(StudyError, match=r"^autoencoders: tuned: .*codebook"):
        study({**book, **tuned(parent="book")}, one={})


def test_a_data_set_cannot_take_the_place_of_pretrained_weights() -> None:
    with pytest.raises(StudyError, match="no data set can be called 'pretrained'"):
        study({}, pretrained={})


def test_an_autoencoder_that_a_data_set_does_not_have_is_named() -> None:
    plan = Plan(study(tuned(datasets=["one"]), one={}, two={}))
    with pytest.raises(StudyError, match="the data set two has no autoencoder tuned-fold0"):
        plan.member("two", "tuned-fold0")
    with pytest.raises(StudyError, match="tiny is not a fine-tuned autoencoder"):
        plan.finetuning("one", "tiny")
