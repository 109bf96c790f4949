"""Voxloop's choices beside those of scikit-activeml and scikit-learn, on random points.

Core-set: the very same rows in the same order, from the same annotated ones. Typicality: the same
values. k-means++: both draw, so their chances are compared; the mean squared distance that is left
after seeding, over many seeds, and its standard error. Prints one JSON document.

    PYTHONPATH=src python benchmarks/peers/selection_values.py
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from skactiveml.pool import _core_set, _typi_clust  # type: ignore[import-not-found]
from sklearn.cluster import kmeans_plusplus  # type: ignore[import-not-found]

from voxloop.active.spread.clusters import typicality
from voxloop.active.spread.cover import k_center, kmeans_plus_plus

ROWS, DIMENSIONS, TAKEN, COUNT, NEIGHBOURS = 500, 8, 10, 40, 20

Points = npt.NDArray[np.float64]


def main() -> None:
    """Compare the three and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clouds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=400)
    options = parser.parse_args()
    clouds = [cloud(seed) for seed in range(options.clouds)]
    document = {
        "benchmark": "core-set, typicality and k-means++ against scikit-activeml and scikit-learn",
        "versions": {name: version(name) for name in ("scikit-activeml", "scikit-learn", "numpy")},
        "rows": ROWS,
        "clouds": options.clouds,
        "core_set_same_picks": [same_picks(rows) for rows in clouds].count(True),
        "typicality_largest_relative_difference": max(map(typical_difference, clouds)),
        "kmeans_plus_plus": left_after_seeding(clouds[0], options.seeds),
    }
    print(json.dumps(document, indent=1))


def cloud(seed: int) -> Points:
    """Points in ten crowds of different width."""
    rng = np.random.default_rng(seed)
    middles, widths = rng.normal(0, 3, (10, DIMENSIONS)), rng.uniform(0.2, 2, 10)
    crowd = rng.integers(0, 10, ROWS)
    return middles[crowd] + widths[crowd, None] * rng.normal(size=(ROWS, DIMENSIONS))


def same_picks(rows: Points) -> bool:
    """Whether both core-sets take the same rows one after the other."""
    labels = np.full(ROWS, np.nan)
    labels[:TAKEN] = 0
    theirs, _ = _core_set.k_greedy_center(rows, labels, COUNT, random_state=0)
    ours = k_center(rows, COUNT, np.arange(TAKEN)).picks
    return bool((ours == theirs).all())


def typical_difference(rows: Points) -> float:
    """Largest relative difference between the typicalities of all rows."""
    theirs = _typi_clust._typicality(rows, np.arange(ROWS), NEIGHBOURS, eps=0)  # noqa: SLF001
    return float(np.abs(typicality(rows, NEIGHBOURS) / theirs - 1).max())


def left_after_seeding(rows: Points, seeds: int) -> dict[str, Any]:
    """Mean squared distance to the nearest seed, from either side's seeding without retries."""
    sides: dict[str, list[float]] = {"voxloop": [], "scikit-learn": []}
    for seed in range(seeds):
        ours = kmeans_plus_plus(rows, np.ones(ROWS), 10, np.random.default_rng(seed)).picks
        _, theirs = kmeans_plusplus(rows, 10, n_local_trials=1, random_state=seed)
        for name, picks in (("voxloop", ours), ("scikit-learn", theirs)):
            apart = ((rows[:, None] - rows[picks]) ** 2).sum(axis=-1).min(axis=1)
            sides[name].append(float(apart.mean()))
    return {
        name: {
            "mean": round(float(np.mean(values)), 3),
            "standard_error": round(float(np.std(values) / np.sqrt(seeds)), 3),
        }
        for name, values in sides.items()
    }


if __name__ == "__main__":
    main()
