"""The summary of diffusability: ratios to pixels, the worst quality, and the encoder beside them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import StudyError
from pipeline.penalties import COMPARED, DIAGNOSTICS, diagnosed, summarised


def measured(autoencoder: str, factor: float, dimension: int) -> list[dict[str, object]]:
    lines = []
    for sigma, more in ((0.1, 1.0), (1.0, 4.0)):
        cell = {"dataset": "d", "autoencoder": autoencoder, "denoiser": "gaussian", "sigma": sigma}
        for quantity in COMPARED.values():
            value = factor**more * sigma
            lines.append(cell | {"quantity": quantity, "value": value * dimension, "per_latent_dimension": value})
        for quantity in ("disagreement", "asymmetry"):
            lines.append(cell | {"quantity": quantity, "value": 0.01 * more, "per_latent_dimension": np.nan})
    return lines


def geometry(autoencoder: str) -> list[dict[str, object]]:
    values = {"compression": 16.0, "lost_directions": 0.1, "tangential_distortion": np.nan}
    values |= {"fine_curvature": 1.5, "data_curvature": 2.0, "latent_data_curvature": 3.0}
    return [
        {"dataset": "d", "autoencoder": autoencoder, "quantity": name, "value": value} for name, value in values.items()
    ]


def test_ratios_are_geometric_means_per_dimension_and_quality_is_the_worst() -> None:
    table = pd.DataFrame(measured("identity", 1.0, 100) + measured("kl", 2.0, 10))
    found = summarised(table, pd.DataFrame(geometry("identity") + geometry("kl")), "identity")
    assert found["autoencoder"].tolist() == ["identity", "kl"]
    for name in COMPARED:
        # The factor is 2 at the one level and 16 at the other.
        assert found[f"{name}_ratio"].tolist() == pytest.approx([1.0, 2**2.5])
    assert found["disagreement"].tolist() == [0.04, 0.04]
    assert found["compression"].tolist() == [16, 16]
    assert found["tangential_distortion"].isna().all()


def test_a_space_without_pixels_to_compare_it_with_is_refused() -> None:
    with pytest.raises(StudyError, match="identity has not been measured at every noise level"):
        summarised(pd.DataFrame(measured("kl", 2.0, 10)), pd.DataFrame(geometry("kl")), "identity")


def test_the_gap_table_has_the_summary_of_every_autoencoder_that_was_measured(tmp_path: Path) -> None:
    found: dict[str, dict[str, str]] = {"unmeasured": {}}
    for name, factor in (("identity", 1.0), ("NA", 2.0)):
        files = {"diffusability": tmp_path / f"{name}.csv", "geometry": tmp_path / f"{name}.geometry.csv"}
        pd.DataFrame(measured(name, factor, 10)).to_csv(files["diffusability"], index=False)
        pd.DataFrame(geometry(name)).to_csv(files["geometry"], index=False)
        found[name] = {kind: str(path) for kind, path in files.items()}
    made = diagnosed(found, "identity")
    assert set(made) == {"identity", "NA"}
    assert [list(line) for line in made.values()] == [["denoiser", *DIAGNOSTICS]] * 2
    assert made["NA"]["denoiser"] == "gaussian"
    assert made["NA"]["mmse_rate_ratio"] == pytest.approx(2**2.5)
    assert (made["NA"]["disagreement"], made["NA"]["latent_data_curvature"]) == (0.04, 3.0)
    assert diagnosed({"identity": {}, "NA": {}}, "identity") == {}
