"""A data set that stands for many, of other classes than the source, through the command."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.layouts import LAYOUTS, LayoutPlace
from tests.zoo import otce, write_zoo, zoo_config

RUN = Path("store/runs/test")
CITIES = ["cs/aachen", "cs/bochum"]


@pytest.fixture
def zoo(tmp_path):
    """Two models trained on 8 drawn classes, and two cities with 19."""
    drawn = LAYOUTS["cityscapes"]
    LayoutPlace(str(tmp_path / "data"), {}, drawn).write(drawn.files())
    config = zoo_config(models=2, targets=0, pixels=48)
    config["datasets"]["cs"] = {"layout": "cityscapes:data", "by": "city", "every": 2}
    config["targets"] = ["cs"]
    return config


def test_validate_shows_every_city_and_what_was_left_out(tmp_path, zoo):
    code, output = otce("validate", write_zoo(tmp_path, zoo), log=tmp_path / "log")
    assert code == 0, output
    assert [city for city in CITIES if f"{city}: 1 of 2 items chosen" not in output] == []
    assert "4 pairs: 0 done, 4 to do, 0 not possible" in output


def test_validate_tells_that_there_is_no_such_city(tmp_path, zoo):
    zoo["targets"] = ["cs/aachn"]
    code, output = otce("validate", write_zoo(tmp_path, zoo), log=tmp_path / "log")
    assert code == 2
    assert "no data set has the id 'cs/aachn'; there are cs/aachen" in output


def test_cities_are_ranked_one_by_one_and_stand_in_every_record(tmp_path, zoo, prefect_api):
    path = write_zoo(tmp_path, zoo)
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    scores = pq.read_table(tmp_path / RUN / "scores.parquet").to_pylist()
    assert {(row["source_model"], row["target_dataset"]) for row in scores} == {
        (f"net-{i}", city) for i in range(2) for city in CITIES
    }
    joints = pq.read_table(tmp_path / RUN / "joints.parquet").to_pylist()
    assert {"rider", "train"} <= {row["target_class_name"] for row in joints}
    assert not {"rider", "train"} & {row["source_class_name"] for row in joints}
    manifest = json.loads((tmp_path / RUN / "manifest.json").read_text())
    assert [manifest["datasets"][city]["notes"] for city in CITIES] == [["1 of 2 items chosen"]] * 2
    assert [len(manifest["datasets"][city]["classes"]) for city in CITIES] == [19, 19]
    kept = yaml.safe_load((tmp_path / RUN / "config.yaml").read_text())
    assert kept["targets"] == CITIES
    assert kept["datasets"]["cs/bochum"]["cities"] == ["bochum"]
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert "nothing to compute, 4 reused, 0 failed" in output
    zoo["datasets"]["cs"]["limit"] = 1
    zoo["datasets"]["cs"]["every"] = 1
    code, output = otce("run", write_zoo(tmp_path, zoo), log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    again = json.loads((tmp_path / RUN / "manifest.json").read_text())
    assert again["fingerprint"] != manifest["fingerprint"]
