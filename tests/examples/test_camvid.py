"""The real images that `examples/camvid.yaml` names, where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from otce.census import count_labels
from otce.config_file import load_config
from otce.dataset_config import CamvidDataset, FolderDataset
from otce.datasets import open_dataset
from otce.datasets.image_files import ImageDataset

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


@pytest.mark.skipif(not DATA.exists(), reason="CamVid is not at ../shared/data/camvid")
def test_its_own_layout_finds_the_same_sequences_and_class_ids():
    by_sequence = {"0001TP": 124, "0006R0": 101, "0016E5": 305, "Seq05VD": 171}
    layout = f"camvid:{DATA}"
    for sequence, count in by_sequence.items():
        dataset = open_dataset(CamvidDataset(layout=layout, sequences=[sequence]))
        assert len(dataset.items) == count
    whole = ImageDataset(CamvidDataset(layout=layout))
    assert whole.parts() == list(by_sequence)
    folder = open_dataset(
        FolderDataset(
            layout=f"folder:{DATA}",
            images="images/*.jpg",
            labels="labels/*.png",
            items="lists/seq_0016E5_train.txt",
            classes=whole.classes,
            ignore=frozenset({11}),
        )
    )
    item = folder.items[7]
    assert np.array_equal(whole.label(item), folder.label(item))
