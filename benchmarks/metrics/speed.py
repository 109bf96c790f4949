"""Time the surface metrics of one label on a 256^3 pair against the package surface-distance.

    python benchmarks/metrics/speed.py

Both sides see the same masks in turn, so the ratio holds on a busy machine too. The result goes to
benchmarks/results/metrics_speed.json.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_json
from voxloop.metrics.overlap import dice, measure_overlap
from voxloop.metrics.surface import surface_scores
from voxloop.volume.geometry import Geometry

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

RESULT = Path(__file__).resolve().parents[1] / "results" / "metrics_speed.json"
Mask = npt.NDArray[np.bool_]

SHAPE = (256, 256, 256)
SPACING_MM = (1.0, 0.8, 0.8)
TOLERANCE_MM = 2.0


def main() -> None:
    """Measure both implementations alternately and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    geometry = Geometry.from_affine(SHAPE, np.diag([*SPACING_MM, 1.0]))
    reference = ball((128, 128, 128), 70.0)
    pairs = {
        "near": (reference, ball((130, 129, 127), 72.0)),
        "near, one far island": (reference, ball((130, 129, 127), 72.0) | ball((20, 20, 20), 6.0)),
        "small structure": (ball((128, 128, 128), 8.0), ball((129, 128, 128), 8.0)),
    }
    found = {name: compare(*masks, geometry, repeats) for name, masks in pairs.items()}
    result = provenance(__file__) | {"shape": SHAPE, "spacing_mm": SPACING_MM, "repeats": repeats}
    write_json(RESULT, result | {"pairs": found})
    for name, sides in found.items():
        print(f"{name}: {sides['speed_ratio']} times as fast as surface-distance")


def compare(
    reference: Mask, prediction: Mask, geometry: Geometry, repeats: int
) -> dict[str, dict[str, Any] | float]:
    """Times and values of both sides, and how many times faster ours is (medians)."""

    def ours() -> dict[str, float]:
        scores = surface_scores(reference, prediction, geometry, tolerance_mm=TOLERANCE_MM)
        return {
            "hd95_mm": scores.hd95_mm,
            "assd_mm": scores.assd_mm,
            "surface_dice": scores.surface_dice,
        }

    def with_overlap() -> dict[str, float]:
        return {"dice": float(dice(measure_overlap(reference, prediction))), **ours()}

    sides: dict[str, Callable[[], dict[str, float]]] = {
        "voxloop": ours,
        "voxloop with overlap": with_overlap,
        "surface-distance": lambda: peer(reference, prediction),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    values = {name: run() for name, run in sides.items()}  # also the warm-up
    for _ in range(repeats):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    figures: dict[str, dict[str, Any] | float] = {
        name: {
            "min_ms": round(1000 * min(times), 1),
            "median_ms": round(1000 * medians[name], 1),
            "p90_ms": round(1000 * float(np.percentile(times, 90)), 1),
            "values": {metric: round(value, 4) for metric, value in values[name].items()},
        }
        for name, times in seconds.items()
    }
    figures["speed_ratio"] = round(medians["surface-distance"] / medians["voxloop"], 2)
    return figures


def peer(reference: Mask, prediction: Mask) -> dict[str, float]:
    """The same three metrics by surface-distance; its definitions weigh by area."""
    import surface_distance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = surface_distance.compute_surface_distances(reference, prediction, SPACING_MM)
    means = surface_distance.compute_average_surface_distance(found)
    return {
        "hd95_mm": float(surface_distance.compute_robust_hausdorff(found, 95)),
        "assd_mm": float(np.mean(means)),
        "surface_dice": float(
            surface_distance.compute_surface_dice_at_tolerance(found, TOLERANCE_MM)
        ),
    }


def ball(centre_vox: tuple[int, int, int], radius_mm: float) -> Mask:
    """Voxels whose centre lies within `radius_mm` of that of `centre_vox`."""
    squares = [
        ((np.arange(n) - c) * s) ** 2 for n, c, s in zip(SHAPE, centre_vox, SPACING_MM, strict=True)
    ]
    i, j, k = np.ix_(*squares)
    return np.asarray(i + j + k <= radius_mm**2)


if __name__ == "__main__":
    main()
