"""What of a gap comes of pretraining, and what of the space: heads that differ in how their weights begin alone.

The published classifiers of images begin from weights that were trained on other images, and those of latents do not.
The published difference, image minus latent, is therefore what pretraining gives in the images plus what the latents
cost from scratch: `mixed_total` = `gain_pretrained_image` + `scratch_total`, replicate by replicate.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipeline.errors import StudyError
from pipeline.quantities import DIFFERENCES, SPACES, Floats, Values, grids, stated

Term = tuple[str, str]
"""What a head stands for (scratch, pretrained or published), and a space."""
COLUMNS = [
    *("dataset", "autoencoder", "metric", "quantity", "head", "space", "other_head", "other_space"),
    *("value", "low", "high"),
]


def terms() -> dict[str, tuple[Term, Term]]:
    """Return by quantity what is subtracted from what."""
    found: dict[str, tuple[Term, Term]] = {}
    for role in ("pretrained", "published"):
        found |= {f"gain_{role}_{space}": ((role, space), ("scratch", space)) for space in SPACES}
    for role in ("scratch", "pretrained", "published"):
        found |= {f"{role}_{name}": ((role, a), (role, b)) for name, (a, b) in DIFFERENCES.items()}
    mixed = {name: pair for name, pair in DIFFERENCES.items() if pair[1] == "latent"}
    return found | {f"mixed_{name}": (("pretrained", a), ("scratch", b)) for name, (a, b) in mixed.items()}


def split(read: Mapping[str, Mapping[str, Mapping[str, Path]]], roles: Mapping[str, str]) -> pd.DataFrame:
    """Return the table of the split, one row for each data set, autoencoder, metric and quantity that is known.

    Args:
        read: by head, data set and autoencoder: the file of replicates.
        roles: what a head stands for to its name; none: the table is empty.

    Raises:
        StudyError: the heads were not evaluated in the same folds, with the same seeds and as many replicates.
    """
    rows: list[Values] = []
    for dataset, autoencoders in read.get(roles.get("scratch", ""), {}).items():
        for autoencoder in autoencoders:
            files = {role: read.get(head, {}).get(dataset, {}).get(autoencoder) for role, head in roles.items()}
            found = {role: grids(pd.read_parquet(path)) for role, path in files.items() if path}
            where = {"dataset": dataset, "autoencoder": autoencoder}
            rows += [where | row for row in _rows(found, roles)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(found: Mapping[str, Mapping[tuple[str, str], Floats]], roles: Mapping[str, str]) -> Iterator[Values]:
    if len({values.shape for of_role in found.values() for values in of_role.values()}) > 1:
        raise StudyError("the heads of 'initialisation' differ in folds, seeds or replicates; evaluate them again")
    for metric in dict.fromkeys(metric for of_role in found.values() for metric, _ in of_role):
        known = {
            (role, space): values
            for role, each in found.items()
            for (of, space), values in each.items()
            if of == metric
        }
        for quantity, (first, second) in terms().items():
            if first in known and second in known:
                values = (known[first] - known[second]).mean(axis=(0, 1))
                about = {"head": roles[first[0]], "space": first[1]}
                about |= {"other_head": roles[second[0]], "other_space": second[1]}
                yield {"metric": metric, "quantity": quantity, **about, **stated(values)}
