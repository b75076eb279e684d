"""Stage cost: what a head costs in each space, and how that compares with image space, measured in one run."""

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.costing import Place, Values, measured, read_head
from pipeline.costs import Cost
from pipeline.files import write_atomically
from pipeline.heads import HeadSpec
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import Rows

SPEEDS = ("inference_per_second", "training_per_second")
SIZES = ("inference_peak_bytes", "training_peak_bytes", "activation_bytes", "feature_bytes", "stored_bytes")
COLUMNS = [
    *("head", "family", "dataset", "autoencoder", "space", "shape"),
    *("device", "threads", "precision", "batch"),
    *("parameters", "multiply_accumulates"),
    *SPEEDS,
    *SIZES,
    *(f"{name}_ratio" for name in (*SPEEDS, *SIZES)),
]


def summarised(costs: list[Values]) -> list[Values]:
    """Return the rows of places of which the first is the images: medians over rounds, and ratios to the images.

    A ratio says how many times better off a space is: samples per second over those of images, and bytes of images
    over those of the space. That of speeds is the median over the rounds, each of which compares within itself.
    """
    lines = []
    for values in costs:
        line = {name: value for name, value in values.items() if name != "rounds"}
        for kind, speeds in values["rounds"].items():
            line[f"{kind}_per_second"] = float(np.median(speeds))
            if kind in costs[0]["rounds"]:
                line[f"{kind}_per_second_ratio"] = float(np.median(np.array(speeds) / costs[0]["rounds"][kind]))
        line |= {f"{name}_ratio": _ratio(costs[0].get(name), values.get(name)) for name in SIZES}
        lines.append(line)
    return lines


def _ratio(images: float | None, space: float | None) -> float:
    return images / space if images and space and images > 0 and space > 0 else math.nan


def tabulate(name: str, spec: HeadSpec, spaces: Iterable[Mapping[str, Any]], settings: Cost) -> pd.DataFrame:
    """Return one row for each space of each data set.

    Args:
        name: of the head.
        spec: the head.
        spaces: `dataset`, `autoencoder`, `space`, `store`, `classes`, `exclusive`; that of a data set's images before
            its others.
        settings: how it is measured.
    """
    by_dataset: dict[str, list[Mapping[str, Any]]] = {}
    for entry in spaces:
        by_dataset.setdefault(entry["dataset"], []).append(entry)
    known: dict[tuple[Place, ...], list[Values]] = {}
    lines: list[Values] = []
    for entries in progress(by_dataset.values(), len(by_dataset), "measuring", " data sets"):
        places = _places(entries)
        different = tuple(dict.fromkeys(places))
        if different not in known:
            known[different] = measured(spec, list(different), settings)
        found = dict(zip(different, known[different], strict=True))
        costs = [found[place] | {"stored_bytes": 4 * math.prod(place.shape)} for place in places]
        for entry, place, values in zip(entries, places, summarised(costs), strict=True):
            about = {key: entry[key] for key in ("dataset", "autoencoder", "space")}
            shape = "x".join(map(str, place.shape))
            lines.append({"head": name, "family": spec.family, **about, "shape": shape, **values})
    return pd.DataFrame(lines, columns=COLUMNS)


def _places(entries: list[Mapping[str, Any]]) -> list[Place]:
    size = Rows(Path(entries[0]["store"])).shape[1]
    places = []
    for entry in entries:
        shape = Rows(Path(entry["store"])).shape
        pixels = entry["space"] == "image"
        places.append(Place(shape, size // shape[1], pixels, entry["classes"], entry["exclusive"]))
    return places


def main() -> None:
    """Measure one head in all spaces; the shapes of stores that are laid out suffice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", required=True, help="the head's name")
    parser.add_argument("--spec", required=True, help="its entry of the configuration as JSON")
    parser.add_argument("--settings", required=True, help="how costs are measured, as JSON")
    parser.add_argument("--spaces", required=True, help="the spaces as JSON, see `tabulate`")
    parser.add_argument("--table", type=Path, required=True)
    asked = parser.parse_args()
    table = tabulate(asked.head, read_head(asked.spec), json.loads(asked.spaces), Cost.read(asked.settings))
    write_atomically(asked.table, lambda path: table.to_csv(path, index=False, float_format="%.6g"))


if __name__ == "__main__":
    run(main)
