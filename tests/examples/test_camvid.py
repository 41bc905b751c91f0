"""The real images that `examples/camvid.yaml` names, where they are at hand."""

from pathlib import Path

import pytest

from otce.census import count_labels
from otce.config_file import load_config
from otce.datasets import open_dataset

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = EXAMPLES.parent.parent / "shared/data/camvid"
IMAGES = {"0001TP": 74, "0006R0": 61, "0016E5": 183, "Seq05VD": 103}


@pytest.mark.skipif(not DATA.exists(), reason="CamVid is not at ../shared/data/camvid")
@pytest.mark.parametrize("sequence", IMAGES)
def test_every_sequence_is_listed_and_its_masks_are_read(sequence):
    dataset = open_dataset(load_config(str(EXAMPLES / "camvid.yaml")).datasets[sequence])
    assert len(dataset.items) == IMAGES[sequence]
    counts = count_labels(dataset, dataset.items[::4])
    # 2.7 to 6.6 % of a whole sequence is void.
    assert 0.9 < counts.sum() / (len(counts) * 360 * 480) < 0.99
    assert counts.sum(axis=0).argmax() in {dataset.classes.index(c) for c in ("building", "road")}
