"""Part of stage tabulate: the page that shows the table, with sample images."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.files import write_atomically, write_text
from pipeline.program import run
from pipeline.report import Further, Strip, claims, depth_png, figure_png, render
from pipeline.report.results import Results, read_gaps
from pipeline.store import Rows


def strips(table: pd.DataFrame, results: Path, samples: int) -> Iterator[Strip]:
    """Yield a few samples of every data set through every autoencoder, evenly spaced in the store."""
    for dataset, autoencoder in table[["dataset", "autoencoder"]].drop_duplicates().itertuples(index=False):
        index = pd.read_parquet(results / "index" / f"{dataset}.parquet")
        usable = np.flatnonzero(index["usable"])
        images = Rows(results / "images" / f"{dataset}.zarr")
        for number in range(samples):
            row = int(usable[(2 * number + 1) * len(usable) // (2 * samples)])
            latents, reconstructions = stores(results, dataset, autoencoder, index, row)
            reconstruction = reconstructions.read(row, row + 1)[0] if reconstructions else None
            yield Strip(
                dataset, autoencoder, images.read(row, row + 1)[0], reconstruction, latents.read(row, row + 1)[0]
            )


def stores(results: Path, dataset: str, autoencoder: str, index: pd.DataFrame, row: int) -> tuple[Rows, Rows | None]:
    """Return the latents and the reconstructions of an autoencoder, or of its member that a sample is tested with.

    There are no reconstructions where there is no decoder. A sample that is not tested is shown with the first member.
    """
    latents, reconstructions = (results / kind / dataset for kind in ("latents", "reconstructions"))
    name = autoencoder
    if not (latents / f"{name}.zarr").is_dir():
        tested = f"{name}-fold{index['fold'].iloc[row]}"
        name = tested if (latents / f"{tested}.zarr").is_dir() else f"{name}-fold0"
    decoded = reconstructions / f"{name}.zarr"
    return Rows(latents / f"{name}.zarr"), Rows(decoded) if decoded.is_dir() else None


def read_fidelity(path: Path) -> pd.DataFrame:
    """Read the table of fidelity by class; a class may be called "None" or "NA", and that of all samples is empty."""
    empty = {name: [""] for name in ("psnr", "ssim", "ms_ssim", "lpips")}
    return pd.read_csv(path, dtype={"class": str}, keep_default_na=False, na_values=empty)


def main() -> None:
    """Write the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--fidelity", type=Path, required=True, help="the table of fidelity by class")
    parser.add_argument("--claims", type=Path, required=True, help="the table of claims about the whole study")
    parser.add_argument("--results", type=Path, required=True, help="folder of the stores and of all other tables")
    parser.add_argument("--title", required=True)
    parser.add_argument("--samples", type=int, default=2, help="samples shown of every data set")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True, help="where the score is lost, with the first head")
    parser.add_argument("--depth", type=Path, required=True, help="where the decoder restores it, as a figure")
    arguments = parser.parse_args()
    table, further = read_gaps(arguments.table), Further.read(arguments.results)
    shown = list(strips(table, arguments.results, arguments.samples))
    folder = arguments.results / "index"
    data = {name: json.loads((folder / f"{name}.json").read_text()) for name in table["dataset"].unique()}
    fidelity, found = read_fidelity(arguments.fidelity), claims.read(arguments.claims)
    write_text(arguments.page, render(table, shown, arguments.title, data, fidelity, found, further))
    head = next(iter(Results.read(table).heads), "")
    write_atomically(arguments.figure, lambda path: figure_png(table, head, path))
    write_atomically(arguments.depth, lambda path: depth_png(table, further.profile, path))


if __name__ == "__main__":
    run(main)
