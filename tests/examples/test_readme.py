"""What the README shows is taken."""

import re
from pathlib import Path

import pytest
import yaml

from otce.config_file import check
from otce.dataset_config import Gta5Dataset
from otce.datasets import open_dataset
from otce.yaml_places import Document

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
REST = {
    "models": {"net": {"reference": "python:n:n", "weights": "w", "source": "alder"}},
    "targets": ["alder"],
}


@pytest.mark.parametrize("block", BLOCKS, ids="+".join)
def test_every_configuration_is_accepted(block):
    if "models" not in block:
        own = block.get("datasets", {})
        block = REST | block | {"datasets": own | {"alder": {"layout": "scenes:x"}}}
        block["datasets"]["other"] = {"layout": "scenes:y"}
        block["targets"] = ["other"]
    config = check(Document(block))
    for chosen in config.datasets.values():
        if not chosen.layout.startswith("scenes:"):
            assert open_dataset(chosen).classes


def test_its_bad_frames_are_those_that_are_left_out():
    assert "15188, 17705 and 20801 to 20860" in README
    known = open_dataset(Gta5Dataset(layout="gta5:/x"))._layout.known_bad
    assert known == {"15188", "17705"} | {str(n) for n in range(20801, 20861)}
