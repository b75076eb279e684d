"""Stage tabulate: scores and fidelity to one row per data set, autoencoder, head and metric."""

import argparse
import json
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

from pipeline import frechet, labels, penalties
from pipeline.files import write_atomically
from pipeline.penalties import DIAGNOSTICS
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
    *("latent_shape", "compression_ratio", "latent_deviation", "stored_bytes", "coded_bytes", "float32_retries"),
    *("denoiser", *DIAGNOSTICS),
]
COUNTS = dict.fromkeys(
    (
        *("folds", "seeds", "patients", "units", "samples", "ms_ssim_scales", "rfid_samples"),
        *("stored_bytes", "coded_bytes", "float32_retries"),
    ),
    "Int64",
)
CLASS_COLUMNS = ["dataset", "autoencoder", "class", "samples", "psnr", "ssim", "ms_ssim", "lpips"]
MEANS = ("ssim", "ms_ssim", "lpips")

Values = dict[str, Any]
Chosen = NDArray[np.bool_]
"""N: which samples count."""


def described_by(member: Values, index: pd.DataFrame) -> Chosen:
    """Return which samples a member speaks for: those with an image, of the fold that it is tested in if it has one."""
    usable = index["usable"].to_numpy(bool)
    return usable if member["fold"] is None else usable & (index["fold"] == member["fold"]).to_numpy()


def read_fidelity(members: Sequence[Values], index: pd.DataFrame) -> pd.DataFrame:
    """Return what was measured of each sample, one line each, its index the sample's row in the stores.

    Without files, as for an autoencoder without a decoder, the table is empty.
    """
    tables = [pd.DataFrame({"mse": np.empty(0)})]
    for member in members:
        if member["fidelity"]:
            table = pd.concat([pd.read_parquet(path) for path in member["fidelity"]]).set_index("row")
            tables.append(table[described_by(member, index)[table.index]])
    return pd.concat(tables[1:] or tables)


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


def read_gaussian(members: Sequence[Values], index: pd.DataFrame, only: Chosen) -> frechet.Gaussian | None:
    """Return what is known of the features of these samples; None without any."""
    found = []
    for member in members:
        chosen = described_by(member, index) & only
        held = (load_file(path) for path in member["features"])
        parts = (shard["features"][chosen[shard["row"]]] for shard in held)
        found += [frechet.Gaussian.of(part) for part in parts if len(part)]
    return reduce(add, found) if found else None


def encoding(images: Path, members: Sequence[Values], usable: Chosen) -> Values:
    """Return what an autoencoder's latents are.

    `compression_ratio` counts values, as the paper does: C H W / (c h w). `latent_deviation` is the root mean square,
    over channels and folds, of the channels' deviation in the training rows. `stored_bytes` is what the latents take as
    they are stored, of one member where there are several; `coded_bytes` what they take as files of a codec that has
    such. `float32_retries` counts batches that were not finite in reduced precision.
    """
    first, manifests = members[0], [Manifest.read(Path(path)) for member in members for path in member["manifests"]]
    shape, image_shape = Rows(Path(first["latents"])).shape, Rows(images).shape
    deviations = pd.concat([pd.read_csv(member["statistics"])["deviation"] for member in members])
    return {
        "latent_shape": "x".join(str(size) for size in shape),
        "compression_ratio": float(np.prod(image_shape) / np.prod(shape)),
        "latent_deviation": float(np.sqrt((deviations**2).mean())),
        "stored_bytes": sum(manifest.bytes for manifest in manifests) // len(members),
        "coded_bytes": _coded(first["moments"], usable),
        "float32_retries": sum(manifest.made_by["float32_retries"] for manifest in manifests),
    }


def _coded(paths: Sequence[str], usable: Chosen) -> int | None:
    sizes = []
    for path in paths:
        with safe_open(path, framework="numpy") as file:
            if "file_bytes" not in file.keys():  # noqa: SIM118  (it is no dict)
                return None
            sizes.append(file.get_tensor("file_bytes"))
    return int(np.concatenate(sizes)[usable].sum())


def rows(plan: dict[str, str], described: Values, gaps: dict[str, Path], protocols: dict[str, str]) -> pd.DataFrame:
    """Return an autoencoder's rows: one for each head and metric, or a single one for a data set without labels."""
    common: Values = {**plan, **described}
    if not gaps:
        return pd.DataFrame([common])
    tables = [pd.read_csv(path).assign(head=head, protocol=protocols[head]) for head, path in gaps.items()]
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

    def __init__(self, dataset: str, images: Path, index: pd.DataFrame, baseline: Sequence[Values]) -> None:
        self.dataset, self.images, self.index, self.baseline = dataset, images, index, baseline
        self.usable = index["usable"].to_numpy(bool)

    def columns(self, entry: Values) -> tuple[Values, pd.DataFrame]:
        """Return the columns of the gap table and the lines of the table of fidelity for one entry of the plan."""
        table = read_fidelity(entry["members"], self.index)
        lines = by_class(table, self.index).assign(dataset=self.dataset, autoencoder=entry["autoencoder"])
        columns = averages(table) | {"ms_ssim_scales": table["ms_ssim_scales"].max() if len(table) else None}
        columns |= self._frechet(entry["members"]) | encoding(self.images, entry["members"], self.usable)
        return columns, lines.reindex(columns=CLASS_COLUMNS)

    def _frechet(self, members: Sequence[Values]) -> Values:
        # Both sides must be of the same samples.
        only = np.logical_or.reduce([described_by(member, self.index) for member in members])
        original, found = (read_gaussian(which, self.index, only) for which in (self.baseline, members))
        if original is None or found is None:
            return {"rfid": float("nan"), "rfid_samples": None}
        return {"rfid": frechet.distance(original, found), "rfid_samples": found.samples}


def main() -> None:
    """Tabulate one data set.

    The plan is a JSON list with one entry an autoencoder: `autoencoder`, `family`, `gaps` (head to file), `protocols`
    (head to its protocol), `diagnosed` (the files of diffusability by kind, or none) and `members`, each with its
    `fold` (null: it is used in all), `latents` (the store), `statistics` (a file), and `manifests`, `moments`,
    `fidelity` and `features` (a file for each shard, or none).
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--baseline", required=True, help="the autoencoder whose reconstructions are the images")
    parser.add_argument("--plan", required=True, help=main.__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--fidelity", type=Path, required=True, help="the table of averages by class")
    arguments = parser.parse_args()
    plan: list[Values] = json.loads(arguments.plan)
    baseline = next(entry["members"] for entry in plan if entry["autoencoder"] == arguments.baseline)
    described = Described(arguments.dataset, arguments.images, pd.read_parquet(arguments.index), baseline)
    diagnosed = penalties.diagnosed({entry["autoencoder"]: entry["diagnosed"] for entry in plan}, arguments.baseline)
    parts, classes = [], []
    for entry in plan:
        columns, lines = described.columns(entry)
        named = {"dataset": arguments.dataset, **{name: entry[name] for name in ("autoencoder", "family")}}
        gaps = {head: Path(path) for head, path in entry["gaps"].items()}
        columns |= diagnosed.get(entry["autoencoder"], {})
        parts.append(rows(named, columns, gaps, entry["protocols"]))
        classes.append(lines)
    write_table(pd.concat(classes), arguments.fidelity)
    write_table(tabulate(parts), arguments.table)


if __name__ == "__main__":
    run(main)
