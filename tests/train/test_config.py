"""The configuration: what cannot be is refused at birth."""

from __future__ import annotations

from typing import Any

import pytest

from voxloop.errors import UsageError
from voxloop.train.config import TrainConfig


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"steps": 0}, "--steps must be at least 1, found 0"),
        ({"minutes": 0.0}, "--minutes must be above 0"),
        ({"minutes": float("nan")}, "--minutes must be above 0"),
        ({"minutes": 1e9}, "under a month"),
        ({"seed": -1}, "--seed must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate must lie in 1e-07..1, found 0"),
        ({"weight_decay": float("nan")}, "weight_decay must lie in 0..1, found nan"),
        ({"average_decay": 1.0}, "average_decay must lie in"),
        ({"clip_norm": float("inf")}, "clip_norm must lie in"),
        ({"save_seconds": -1.0}, "save_seconds must lie in"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_option(
    wrong: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        TrainConfig(**wrong)


def test_a_configuration_survives_its_document() -> None:
    config = TrainConfig(steps=3, seed=8, save_seconds=0.5)
    assert TrainConfig(**config.to_json()) == config
