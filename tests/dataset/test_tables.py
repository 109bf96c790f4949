"""Label tables: given, from the data set, from a record, from the values, in that order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phantoms import oblique_geometry
from voxloop.dataset.tables import label_table_for
from voxloop.errors import DataError
from voxloop.io.formats import write_label_map
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap

TABLE = LabelTable({2: "femur", 5: "tibia"})


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    geometry = oblique_geometry((4, 4, 4))
    array = np.zeros(geometry.shape, dtype=np.uint8)
    array[0], array[1], array[2] = 2, 5, IGNORE
    path = tmp_path / "maps" / "knee.nii.gz"
    write_label_map(path, LabelMap(array, geometry, TABLE))
    return path


def test_without_any_word_the_values_give_the_names(label_map: Path) -> None:
    assert label_table_for([label_map]) == (LabelTable({2: "label 2", 5: "label 5"}), None)


def test_the_record_of_a_segmentation_names_its_labels(label_map: Path) -> None:
    record = label_map.with_name("knee.json")
    record.write_text(json.dumps({"model": "abc", "labels": TABLE.to_json()}))
    assert label_table_for([label_map]) == (TABLE, None)
    record.write_text("not a record")
    assert label_table_for([label_map])[0].names == {2: "label 2", 5: "label 5"}


def test_a_data_set_in_the_folder_above_goes_before_the_record(label_map: Path) -> None:
    label_map.with_name("knee.json").write_text(json.dumps({"labels": {"other": 1}}))
    images = label_map.parents[1] / "imagesTr"
    images.mkdir()
    (images / "knee_0000.nii.gz").write_bytes(b"")
    index = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "femur": 1, "ignore": 2},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    (label_map.parents[1] / "dataset.json").write_text(json.dumps(index))
    assert label_table_for([label_map]) == (LabelTable.from_names("femur"), 2)
    assert label_table_for([label_map], TABLE) == (TABLE, None)


def test_a_map_of_background_alone_tells_nothing(tmp_path: Path) -> None:
    geometry = oblique_geometry((4, 4, 4))
    path = tmp_path / "empty.nii.gz"
    write_label_map(path, LabelMap(np.zeros(geometry.shape, np.uint8), geometry, TABLE))
    with pytest.raises(DataError, match="expected at least one label, found background only"):
        label_table_for([path])
