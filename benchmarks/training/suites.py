"""Which cells answer which question.

What depends on the machine is measured in minutes, alone on it; all else in steps, so that cells
may run on one core each, side by side and on different days.
"""

from __future__ import annotations

from dataclasses import replace

from cell import Cell
from parts import PARTS

__all__ = ["SUITES"]

SEEDS = (0, 1, 2)

STEPS = 1500
"""Of the hippocampus: five minutes on two cores, eight on one."""


def _ablation() -> list[Cell]:
    """Each part switched off, on cases that the recipe may be chosen on."""
    cells = []
    for seed in (0, 1):
        for without in ((), *((part,) for part in PARTS)):
            sparse = Cell("hippocampus", slice_share=0.025, steps=450, tuning=True,
                          seed=seed, without=without)  # fmt: skip
            dense = Cell("fetal_brain", cases=3, steps=600, tuning=True, seed=seed,
                         without=without)  # fmt: skip
            cells += [sparse, dense]
    return cells


def _augmentation() -> list[Cell]:
    """What rotation, zoom and bending are worth in trainings of usual length, by what is labelled.

    As planned, as mild for few examples as for many, as strong for many as for few, and none.
    """
    learned = (
        Cell("hippocampus", slice_share=0.025, steps=STEPS, tuning=True),
        Cell("hippocampus", cases=4, steps=STEPS, tuning=True),
        Cell("fetal_brain", cases=3, slices_each=8, axes="any", steps=STEPS, tuning=True),
        Cell("fetal_brain", cases=3, steps=STEPS, tuning=True),
    )
    left_out = ((), ("extra-deformation",), ("mild-deformation",), ("spatial",))
    return [replace(cell, without=without) for cell in learned for without in left_out]


SUITES: dict[str, list[Cell]] = {
    "time": [Cell("hippocampus", minutes=m) for m in (10, 30, 5, 2, 1, 15, 60)],
    "fetal": [
        Cell("fetal_brain", cases=3, steps=3000),
        Cell("fetal_brain", cases=3, slices_each=8, steps=3000),
        Cell("fetal_brain", cases=3, slices_each=8, axes="any", steps=3000),
        Cell("fetal_brain", cases=3, steps=3000, seed=1),
        Cell("fetal_brain", cases=3, slices_each=8, axes="any", steps=3000, seed=1),
    ],
    "cases": [
        Cell("hippocampus", cases=n, steps=STEPS, seed=seed)
        for seed in SEEDS
        for n in (8, 1, 2, 4, 16, 32)
    ],
    "slices": [
        Cell("hippocampus", slice_share=share, steps=STEPS, seed=seed)
        for seed in SEEDS
        for share in (0.025, 0.01, 0.005, 0.05, 0.1)
    ],
    "planes": [
        Cell("hippocampus", slice_share=share, axes="any", steps=STEPS, seed=seed)
        for seed in SEEDS
        for share in (0.01, 0.025, 0.005, 0.05, 0.1)
    ],
    "longer": [
        Cell("hippocampus", slice_share=share, axes="any", steps=3 * STEPS, seed=0)
        for share in (0.025, 0.01)
    ],
    "mixed": [
        Cell("hippocampus", cases=64, label_sets=sets, steps=1200, seed=seed)
        for seed in SEEDS
        for sets in ("all", "halves")
    ],
    "ablation": _ablation(),
    "augmentation": _augmentation(),
}
