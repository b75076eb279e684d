"""Stage tabulate: scores and fidelity to one row per data set, autoencoder, head and metric."""

import argparse
import json
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline import frechet, labels
from pipeline.files import write_atomically
from pipeline.program import run
from pipeline.quality import psnr
from pipeline.store import Manifest, Rows

QUANTITIES = ("image", "reconstruction", "latent", "information_loss", "learnability_gap", "total")
FIDELITY = ("psnr", "ssim", "ms_ssim", "ms_ssim_scales", "lpips", "rfid", "rfid_samples")
COLUMNS = [
    *("dataset", "autoencoder", "family", "head", "protocol", "metric"),
    *(f"{quantity}{bound}" for quantity in QUANTITIES for bound in ("", "_low", "_high")),
    *("folds", "seeds", "patients", "units", "samples"),
    *FIDELITY,
    *("latent_shape", "compression_ratio", "stored_bytes"),
]
COUNTS = dict.fromkeys(
    ("folds", "seeds", "patients", "units", "samples", "ms_ssim_scales", "rfid_samples", "stored_bytes"), "Int64"
)
CLASS_COLUMNS = ["dataset", "autoencoder", "class", "samples", "psnr", "ssim", "ms_ssim", "lpips"]
MEANS = ("ssim", "ms_ssim", "lpips")

Values = dict[str, Any]
Usable = NDArray[np.bool_]
"""N: whether a sample has an image. The others' rows of the stores are blank."""


def read_fidelity(paths: Sequence[Path], usable: Usable) -> pd.DataFrame:
    """Return what was measured of the usable samples, one line each, its index the sample's row in the stores.

    Without files, as for an autoencoder without a decoder, the table is empty.
    """
    if not paths:
        return pd.DataFrame({"mse": np.empty(0)})
    table = pd.concat([pd.read_parquet(path) for path in paths]).set_index("row")
    return table[usable[table.index]]


def averages(table: pd.DataFrame) -> Values:
    """Return the means over samples; NaN for what was not measured, and for no samples."""
    return {"psnr": psnr(table["mse"].to_numpy())} | {
        name: float(table[name].mean()) if name in table else float("nan") for name in MEANS
    }


def by_class(table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Return the averages over all samples (an empty class), then over those of each class.

    A sample with several labels counts in each of them; one whose label is missing counts in the first line only.
    """
    groups = [("", table)]
    for column in index.columns[index.columns.str.startswith(labels.PREFIX)]:
        has = index[column].to_numpy()[table.index] == 1
        groups.append((column.removeprefix(labels.PREFIX), table[has]))
    return pd.DataFrame([{"class": name, "samples": len(part), **averages(part)} for name, part in groups])


def read_gaussian(paths: Iterable[Path], usable: Usable) -> frechet.Gaussian | None:
    """Return what is known of the features of the usable samples; None without any."""
    held = (load_file(path) for path in paths)
    parts = (shard["features"][usable[shard["row"]]] for shard in held)
    found = [frechet.Gaussian.of(part) for part in parts if len(part)]
    return reduce(add, found) if found else None


def encoding(images: Path, latents: Path, manifests: Sequence[Path]) -> Values:
    """Return what an autoencoder's latents are.

    `compression_ratio` counts values, as the paper does: C H W / (c h w). `stored_bytes` is what the latents take.
    """
    shape, image_shape = Rows(latents).shape, Rows(images).shape
    return {
        "latent_shape": "x".join(str(size) for size in shape),
        "compression_ratio": float(np.prod(image_shape) / np.prod(shape)),
        "stored_bytes": sum(Manifest.read(path).bytes for path in manifests),
    }


def rows(plan: dict[str, str], described: Values, gaps: dict[str, Path]) -> pd.DataFrame:
    """Return an autoencoder's rows: one for each head and metric, or a single one for a data set without labels."""
    common: Values = {**plan, **described}
    if not gaps:
        return pd.DataFrame([common])
    tables = [pd.read_csv(path).assign(head=head) for head, path in gaps.items()]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(**common)


def tabulate(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows as one table with the documented columns."""
    table = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    return table.astype(COUNTS)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; six decimals, so that the same study gives the same bytes."""
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6f"))


class Described:
    """A data set's autoencoders, one after the other: what the tables say of each apart from its scores."""

    def __init__(self, dataset: str, images: Path, index: pd.DataFrame, baseline: Sequence[Path]) -> None:
        self.dataset, self.images, self.index = dataset, images, index
        self.usable = index["usable"].to_numpy(bool)
        self.original = read_gaussian(baseline, self.usable)

    def fidelity(self, entry: Values) -> tuple[Values, pd.DataFrame]:
        """Return the columns of the gap table and the lines of the table of fidelity for one entry of the plan."""
        table = read_fidelity(_paths(entry["fidelity"]), self.usable)
        lines = by_class(table, self.index).assign(dataset=self.dataset, autoencoder=entry["autoencoder"])
        scales = table["ms_ssim_scales"].max() if len(table) else None
        columns = averages(table) | {"ms_ssim_scales": scales} | self._frechet(_paths(entry["features"]))
        return columns, lines.reindex(columns=CLASS_COLUMNS)

    def _frechet(self, features: Sequence[Path]) -> Values:
        found = read_gaussian(features, self.usable)
        if self.original is None or found is None:
            return {"rfid": float("nan"), "rfid_samples": None}
        return {"rfid": frechet.distance(self.original, found), "rfid_samples": found.samples}


def _paths(names: Iterable[str]) -> list[Path]:
    return [Path(name) for name in names]


def main() -> None:
    """Tabulate one data set.

    The plan is a JSON list with one entry an autoencoder: `autoencoder`, `family`, `latents` (the store), `fidelity`,
    `features` and `manifests` (lists of files), and `gaps` (head to file).
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--baseline", required=True, help="the autoencoder whose reconstructions are the images")
    parser.add_argument("--plan", required=True, help=main.__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--fidelity", type=Path, required=True, help="the table of averages by class")
    arguments = parser.parse_args()
    plan: list[Values] = json.loads(arguments.plan)
    baseline = next(entry["features"] for entry in plan if entry["autoencoder"] == arguments.baseline)
    index = pd.read_parquet(arguments.index)
    described = Described(arguments.dataset, arguments.images, index, _paths(baseline))
    parts, classes = [], []
    for entry in plan:
        columns, lines = described.fidelity(entry)
        columns |= encoding(arguments.images, Path(entry["latents"]), _paths(entry["manifests"]))
        named = {"dataset": arguments.dataset, "protocol": arguments.protocol}
        named |= {name: entry[name] for name in ("autoencoder", "family")}
        parts.append(rows(named, columns, {head: Path(path) for head, path in entry["gaps"].items()}))
        classes.append(lines)
    write_table(pd.concat(classes), arguments.fidelity)
    write_table(tabulate(parts), arguments.table)


if __name__ == "__main__":
    run(main)
