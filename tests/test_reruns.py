"""What a second call does: nothing, or just what a change asks for."""

import copy
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tests.studies import STUDY, call, configure, environment, plan, run, tiny

TABLE = "results/gap_table.csv"
SHARD = "results/latents/blobs/lossy.zarr/c/1/0/0/0"
CHANGE = "\nCHANGED = True\n"


def processor_seconds(folder: Path, *words: str) -> float:
    """Return what a call of Snakemake that does nothing takes: processor time, since other tests share the machine."""
    before = os.times()
    done = subprocess.run(["snakemake", *words], cwd=folder, env=environment(), capture_output=True, text=True)
    after = os.times()
    assert "Nothing to be done" in done.stdout + done.stderr
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_second_call_does_nothing_within_three_times_what_snakemake_takes_alone(study: Path, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'made'\n")
    (tmp_path / "made").touch()
    # Snakemake alone takes 1 s on one machine and 2 on another.
    alone = processor_seconds(tmp_path, "--cores", "1")
    ours = processor_seconds(study, "--configfile", "study.yaml", "--cores", "2", "--", TABLE)
    assert ours < 3 * max(1, alone)


def test_adding_a_head_trains_and_evaluates_it_and_encodes_nothing(study: Path) -> None:
    wider = copy.deepcopy(STUDY)
    wider["heads"]["linear"] = {"family": "linear", "grid": 4}
    configure(study, wider)
    assert plan(study) == {"train": 4, "evaluate": 2, "tabulate": 1, "tabulate_study": 1}


def test_adding_an_autoencoder_leaves_the_others_alone(study: Path) -> None:
    wider = copy.deepcopy(STUDY)
    wider["autoencoders"]["shuffle"] = {"family": "pixel-unshuffle", "stride": 4}
    configure(study, wider)
    jobs = plan(study)
    assert (jobs["encode"], jobs["decode"], jobs["train"], jobs["evaluate"]) == (2, 2, 2, 1)
    assert "normalize" not in jobs


def test_editing_an_autoencoders_module_encodes_that_one_again(study: Path) -> None:
    module = study / "src/pipeline/autoencoders/lossy.py"
    module.write_text(module.read_text() + CHANGE)
    jobs = plan(study)
    assert (jobs["encode"], jobs["decode"], jobs["train"], jobs["evaluate"]) == (2, 2, 2, 1)


def test_rewriting_a_comment_or_a_docstring_does_nothing(study: Path) -> None:
    module = study / "src/pipeline/autoencoders/lossy.py"
    text = module.read_text()
    assert text.startswith('"""')
    module.write_text(text.replace('"""', '"""In other words: ', 1) + "\n# A comment.\n")
    assert plan(study) == {}


def test_touching_a_module_without_changing_it_does_nothing(study: Path) -> None:
    os.utime(study / "src/pipeline/autoencoders/lossy.py")
    assert plan(study) == {}


def test_an_edit_that_is_undone_does_nothing(study: Path) -> None:
    module = study / "src/pipeline/autoencoders/lossy.py"
    text = module.read_text()
    module.write_text(text + CHANGE)
    assert plan(study)["encode"] == 2
    module.write_text(text)
    assert plan(study) == {}


def test_results_without_snakemakes_own_records_do_not_pass_for_those_of_other_code(study: Path) -> None:
    shutil.rmtree(study / ".snakemake/metadata")
    assert plan(study) == {}
    module = study / "src/pipeline/autoencoders/lossy.py"
    module.write_text(module.read_text() + CHANGE)
    assert plan(study)["encode"] == 2


def test_another_order_of_keys_in_the_configuration_does_nothing(study: Path) -> None:
    (study / "study.yaml").write_text(
        (study / "study.yaml").read_text().replace("{family: lossy, stride: 8}", "{stride: 8, family: lossy}")
    )
    assert plan(study) == {}


def test_a_deleted_shard_is_made_again_and_nothing_else(study: Path) -> None:
    table = (study / TABLE).read_bytes()
    (study / SHARD).unlink()
    assert plan(study) == {"encode": 1}
    printed = run(study)
    assert f"{SHARD} is missing or damaged" in printed
    assert re.findall(r"^localrule (\w+):$", printed, re.MULTILINE) == ["encode"]
    assert (study / SHARD).is_file()
    assert (study / TABLE).read_bytes() == table
    assert plan(study) == {}


def test_a_changed_shard_is_made_again_and_nothing_else(study: Path) -> None:
    shard = (study / SHARD).read_bytes()
    damaged = bytearray(shard)
    damaged[len(damaged) // 2] ^= 1
    (study / SHARD).write_bytes(damaged)
    printed = run(study)
    assert re.findall(r"^localrule (\w+):$", printed, re.MULTILINE) == ["encode"]
    assert (study / SHARD).read_bytes() == shard


def test_a_shard_that_was_only_touched_does_nothing(study: Path) -> None:
    os.utime(study / SHARD)
    assert plan(study) == {}


def test_a_new_image_is_seen_by_the_next_call(study: Path) -> None:
    before = (study / TABLE).read_text()
    place = study / "images/dim/dim-99"
    place.mkdir()
    Image.fromarray(np.full((16, 16), 40, np.uint8)).save(place / "0.png")
    jobs = plan(study)
    assert (jobs["normalize"], jobs["index"]) == (2, 1)
    run(study)
    assert (study / TABLE).read_text() != before
    assert ",49," in (study / TABLE).read_text()


def test_a_touched_image_is_decoded_again_and_costs_no_encoder(study: Path) -> None:
    table = (study / TABLE).read_bytes()
    os.utime(study / "images/dim/dim-01/0.png", ns=(0, 0))
    jobs = plan(study)
    assert jobs["normalize"] == 1
    assert "inspect" not in jobs
    run(study)
    assert (study / TABLE).read_bytes() == table
    assert plan(study) == {}


def test_a_changed_image_costs_its_own_shard_and_what_follows(study: Path) -> None:
    Image.fromarray(np.full((16, 16), 40, np.uint8)).save(study / "images/dim/dim-01/0.png")
    jobs = plan(study)
    assert (jobs["normalize"], jobs["encode"], jobs["decode"], jobs["index"]) == (1, 2, 2, 1)
    run(study)
    assert plan(study) == {}


def test_changing_the_folds_indexes_and_trains_again_and_decodes_nothing(study: Path) -> None:
    changed = copy.deepcopy(STUDY)
    changed["datasets"]["blobs"]["folds"] = 4
    configure(study, changed)
    jobs = plan(study)
    assert (jobs["index"], jobs["train"]) == (1, 4)
    assert not {"inspect", "normalize", "encode", "decode", "measure"} & set(jobs)


def test_changing_the_size_of_the_images_reads_no_header_again(study: Path) -> None:
    changed = copy.deepcopy(STUDY)
    changed["datasets"]["blobs"]["pixels"]["size"] = 32
    configure(study, changed)
    jobs = plan(study)
    assert jobs["normalize"] == 2
    assert "inspect" not in jobs


def test_one_data_sets_table_can_be_made_alone(study: Path) -> None:
    shutil.rmtree(study / "results/scores")
    (study / "results/gap_table/blobs.csv").unlink()
    assert plan(study, "results/gap_table/blobs.csv") == {"evaluate": 2, "tabulate": 1}
    finished = call(study, "--", "results/gap_table/blobs.csv")
    assert finished.returncode == 0, finished.stdout
    assert (study / "results/gap_table/blobs.csv").is_file()


def test_changing_the_seeds_trains_again_and_encodes_nothing(study: Path) -> None:
    configure(study, STUDY | {"seeds": [0, 1]})
    jobs = plan(study)
    assert jobs["train"] == 4
    assert "encode" not in jobs


def test_a_job_does_not_list_the_data_sets_folder(study: Path) -> None:
    shutil.rmtree(study / "images")
    planned = call(study, "--mode", "subprocess", "--dry-run", "--", TABLE)
    assert planned.returncode == 0, planned.stdout


def test_configuring_features_embeds_and_decodes_nothing(study: Path) -> None:
    # A dry run does not read it.
    (study / "weights.safetensors").touch()
    features = {"model": "test_efficientnet", "weights": "weights.safetensors"}
    configure(study, STUDY | {"fidelity": {"features": features}})
    assert plan(study) == {"embed": 4, "tabulate": 1, "tabulate_study": 1}


def test_editing_what_measures_trains_nothing(study: Path) -> None:
    module = study / "src/pipeline/quality.py"
    module.write_text(module.read_text() + CHANGE)
    assert plan(study) == {"measure": 4, "tabulate": 1, "tabulate_study": 1}


def test_code_that_changes_no_result_costs_nothing_else_if_it_runs_alone(study: Path) -> None:
    module = study / "src/pipeline/index.py"
    module.write_text(module.read_text() + CHANGE)
    assert plan(study)["train"] == 4
    made = call(study, "--cores", "2", "--until", "index", "--", TABLE)
    assert made.returncode == 0, made.stdout
    assert "rule index" in made.stdout
    assert plan(study) == {}


def test_another_wording_of_what_is_said_of_a_data_set_does_nothing(study: Path) -> None:
    module = study / "src/pipeline/summary.py"
    module.write_text(module.read_text() + CHANGE)
    assert plan(study) == {}


def test_an_edited_label_indexes_and_trains_again_and_decodes_nothing(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    paths = sorted(path.relative_to(folder / "images") for path in (folder / "images").glob("*/*/*"))
    rows = [f"{path},{path.parts[1]},{path.parts[0]}" for path in paths]
    labelled = copy.deepcopy(STUDY)
    labelled["datasets"]["blobs"] |= {"family": "filelist", "labels": "labels.csv"}
    configure(folder, labelled)
    (folder / "labels.csv").write_text("\n".join(["path,id,label", *rows]) + "\n")
    run(folder)
    # Both images of one patient, whose label was wrong.
    rows[:2] = [row.replace(",bright", ",dim") for row in rows[:2]]
    (folder / "labels.csv").write_text("\n".join(["path,id,label", *rows]) + "\n")
    jobs = plan(folder)
    assert (jobs["index"], jobs["train"], jobs["evaluate"]) == (1, 4, 2)
    assert not {"inspect", "normalize", "encode", "decode"} & set(jobs)


def test_a_changed_rule_does_not_draw_the_secret_again(study: Path) -> None:
    secret, rules = study / "private/salt", study / "workflow/rules/inspect.smk"
    before, text = secret.read_bytes(), rules.read_text()
    rules.write_text(text.replace("python -m pipeline.salt --output", "true; python -m pipeline.salt --output"))
    assert rules.read_text() != text
    printed = run(study, "private/salt")
    assert "rule salt" in printed
    assert secret.read_bytes() == before
