"""What a validation taught about a model: how to clean its predictions, how far to trust them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.errors import DataError, Problem
from voxloop.predict.postprocess import PostProcessing
from voxloop.predict.quality.calibration import Calibration, load_calibration

__all__ = ["Lessons", "lessons_for"]

_CALIBRATION, _RULES = "calibration.json", "postprocessing.json"
_MEMBERS = "members"


@dataclass(frozen=True)
class Lessons:
    """What is known of a model beside the model itself.

    Attributes:
        calibration: None before `voxloop validate`.
        rules: for its label maps; none before that.
    """

    calibration: Calibration | None
    rules: PostProcessing

    @property
    def calibration_sha256(self) -> str:
        """Hash of the calibration; empty if there is none."""
        return "" if self.calibration is None else _sha256(self.calibration.to_json())


def lessons_for(model: Path) -> Lessons:
    """Read what lies in the folder of a model, or in that of its round.

    Args:
        model: file of a checkpoint.

    Raises:
        DataError: if it is there and damaged.
    """
    folders = [model.parent]
    if model.absolute().parent.parent.name == _MEMBERS:
        folders.append(model.absolute().parents[2])
    calibration, rules = None, PostProcessing()
    for folder in folders:
        if (folder / _CALIBRATION).is_file():
            calibration = load_calibration(folder / _CALIBRATION)
        if (folder / _RULES).is_file():
            rules = PostProcessing.from_json(_read(folder / _RULES), str(folder / _RULES))
    return Lessons(calibration, rules)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "run `voxloop validate` again"
        raise DataError(Problem(str(path), "a JSON document", str(error), remedy)) from error


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
