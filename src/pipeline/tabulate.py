"""Stage tabulate: scores and fidelity to one row per data set, autoencoder, head and metric."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.files import write_atomically
from pipeline.program import run
from pipeline.quality import psnr
from pipeline.store import Manifest, Rows

QUANTITIES = ("image", "reconstruction", "latent", "information_loss", "learnability_gap", "total")
COLUMNS = [
    *("dataset", "autoencoder", "family", "head", "protocol", "metric"),
    *(f"{quantity}{bound}" for quantity in QUANTITIES for bound in ("", "_low", "_high")),
    *("folds", "seeds", "patients", "units", "samples"),
    *("psnr", "ssim", "latent_shape", "compression_ratio", "stored_bytes"),
]
COUNTS = dict.fromkeys(("folds", "seeds", "patients", "units", "samples", "stored_bytes"), "Int64")


def fidelity(
    images: Path, latents: Path, quality: list[Path], manifests: list[Path], usable: "pd.Series[bool]"
) -> dict[str, str | float]:
    """Return what an autoencoder makes of a data set's images, whatever a classifier makes of it.

    Only usable samples count: the others have no image, and their rows of the stores are blank.

    `compression_ratio` counts values, as the paper does: C H W / (c h w). `stored_bytes` is what the latents take.
    """
    table = pd.concat([pd.read_parquet(path) for path in quality])
    table = table[usable.to_numpy()[table["row"]]]
    shape, image_shape = Rows(latents).shape, Rows(images).shape
    return {
        "psnr": psnr(table["mse"].to_numpy()),
        "ssim": float(table["ssim"].mean()),
        "latent_shape": "x".join(str(size) for size in shape),
        "compression_ratio": float(np.prod(image_shape) / np.prod(shape)),
        "stored_bytes": sum(Manifest.read(path).bytes for path in manifests),
    }


def rows(plan: dict[str, str], described: dict[str, str | float], gaps: dict[str, Path]) -> pd.DataFrame:
    """Return an autoencoder's rows: one for each head and metric, or a single one for a data set without labels."""
    common: dict[str, str | float] = {**plan, **described}
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


def main() -> None:
    """Tabulate one data set.

    The plan is a JSON list with one entry an autoencoder: `autoencoder`, `family`, `latents` (the store), `quality` and
    `manifests` (lists of files), and `gaps` (head to file).
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--plan", required=True, help=main.__doc__)
    parser.add_argument("--table", type=Path, required=True)
    arguments = parser.parse_args()
    usable = pd.read_parquet(arguments.index, columns=["usable"])["usable"]
    parts = []
    for entry in json.loads(arguments.plan):
        quality, manifests = ([Path(path) for path in entry[kind]] for kind in ("quality", "manifests"))
        described = fidelity(arguments.images, Path(entry["latents"]), quality, manifests, usable)
        plan = {"dataset": arguments.dataset, "protocol": arguments.protocol}
        plan |= {name: entry[name] for name in ("autoencoder", "family")}
        parts.append(rows(plan, described, {head: Path(path) for head, path in entry["gaps"].items()}))
    write_table(tabulate(parts), arguments.table)


if __name__ == "__main__":
    run(main)
