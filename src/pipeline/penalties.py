"""Part of stage diffusability: what every space costs a denoiser in comparison with pixels, one line a space."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.fisher import QUALITY
from pipeline.program import run

COMPARED = {"mmse": "mmse", "fisher": "fisher_score", "fisher_rate": "fisher_rate", "mmse_rate": "mmse_rate"}
"""Column to quantity."""
CELL = ["dataset", "autoencoder", "denoiser"]
DIAGNOSTICS = (
    *(f"{name}_ratio" for name in COMPARED),
    *(*QUALITY, "lost_directions", "tangential_distortion", "fine_curvature", "latent_data_curvature"),
)
"""What the gap table has of the summary, of one denoiser. Its `compression_ratio` is the fourth of the penalties."""


def ratios(measured: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return for each cell `<quantity>_ratio`: what it has by what pixels have, geometric means over the noise levels.

    Both are per dimension of the space that they are of, at the same noise per deviation of it: 1 of an isometry.

    Raises:
        StudyError: a cell has no pixels to be compared with at one of its noise levels.
    """
    chosen = measured[measured["quantity"].isin(COMPARED.values())]
    keys = ["dataset", "denoiser", "sigma", "quantity"]
    pixels = chosen[chosen["autoencoder"] == baseline].set_index(keys)["per_latent_dimension"]
    both = chosen.join(pixels.rename("pixels"), on=keys)
    if both["pixels"].isna().any():
        raise StudyError(f"{baseline} has not been measured at every noise level of the other autoencoders")
    both["log"] = np.log(both["per_latent_dimension"] / both["pixels"])
    made = both.pivot_table(index=CELL, columns="quantity", values="log", aggfunc="mean", sort=False)
    named = made.rename(columns={quantity: f"{name}_ratio" for name, quantity in COMPARED.items()})
    return named.apply(np.exp)


def quality(measured: pd.DataFrame) -> pd.DataFrame:
    """Return for each cell the largest of each measure of quality over the noise levels."""
    chosen = measured[measured["quantity"].isin(QUALITY)]
    return chosen.pivot_table(index=CELL, columns="quantity", values="value", aggfunc="max", sort=False)[[*QUALITY]]


def encoders(geometry: pd.DataFrame) -> pd.DataFrame:
    """Return every measure of an encoder as a column, by data set and autoencoder."""
    keys = ["dataset", "autoencoder"]
    wide = geometry.pivot_table(index=keys, columns="quantity", values="value", sort=False, dropna=False)
    return wide[list(dict.fromkeys(geometry["quantity"]))]


def summarised(measured: pd.DataFrame, geometry: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return one line for each data set, autoencoder and denoiser: ratios to pixels, quality, and the encoder."""
    cells = ratios(measured, baseline)[[f"{name}_ratio" for name in COMPARED]].join(quality(measured))
    return cells.reset_index().join(encoders(geometry), on=["dataset", "autoencoder"])


def diagnosed(found: Mapping[str, Mapping[str, str]], baseline: str) -> dict[str, dict[str, object]]:
    """Return `denoiser` and `DIAGNOSTICS` of each autoencoder of one data set that has any.

    Args:
        found: for each autoencoder its files of the kinds `diffusability` and `geometry`, of one denoiser; or none.
        baseline: the autoencoder that stands for pixels.
    """
    files = [of for of in found.values() if of]
    if not files:
        return {}
    measured, geometry = (
        pd.concat([read(Path(of[kind])) for of in files], ignore_index=True) for kind in ("diffusability", "geometry")
    )
    table = summarised(measured, geometry, baseline).set_index("autoencoder")[["denoiser", *DIAGNOSTICS]]
    return {str(name): {str(key): value for key, value in line.items()} for name, line in table.iterrows()}


def read(path: Path) -> pd.DataFrame:
    """Read a table of measurements; a data set, an autoencoder or a denoiser may be called "None" or "NA"."""
    texts = [*CELL, "quantity"]
    empty = {name: [""] for name in pd.read_csv(path, nrows=0).columns if name not in texts}
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=empty)


def main() -> None:
    """Write the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--diffusability", type=Path, required=True)
    parser.add_argument("--geometry", type=Path, required=True)
    parser.add_argument("--baseline", required=True, help="the autoencoder that stands for pixels")
    parser.add_argument("--summary", type=Path, required=True)
    asked = parser.parse_args()
    table = summarised(read(asked.diffusability), read(asked.geometry), asked.baseline)
    write_atomically(asked.summary, lambda path: table.to_csv(path, index=False, float_format="%.6g"))


if __name__ == "__main__":
    run(main)
