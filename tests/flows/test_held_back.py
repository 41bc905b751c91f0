"""Which images of a measurement are held back, and which few are trained on."""

import numpy as np
import pytest

from flows.held_back import held_back_of
from flows.transfers import _part
from otce.config import RunConfig
from otce.errors import ConfigError
from tasks.census import Listed
from tests.folders import Place, pair
from tests.study import study


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"measure": None}, "there is no measure section"),
        ({"measure": {}}, "measure.evaluate has no data set for target birch"),
        (
            {"measure": {"evaluate": {"birch": "birch-tset"}}},
            "measure.evaluate has birch-tset, which is no data set, for target birch",
        ),
        (
            {"measure": {"evaluate": {"brich": "birch-test", "birch": "birch-test"}}},
            "measure.evaluate has brich, which is no data set .*sets: alder, alder-test, birch, ",
        ),
    ],
)
def test_held_back_images_must_be_named_and_judge_something(change, told):
    with pytest.raises(ConfigError, match=told):
        held_back_of(RunConfig.model_validate(study() | change))


def test_images_held_back_of_what_a_run_leaves_out_do_no_harm():
    config = RunConfig.model_validate(study() | {"targets": ["birch"]})
    assert held_back_of(config) == {"birch": "birch-test"}


def test_parts_of_a_target_are_judged_on_parts_of_what_is_held_back():
    config = RunConfig.model_validate(
        study()
        | {
            "datasets": {
                name: {"layout": "scenes:birch"}
                for name in ("alder", "dune", "cs/ulm", "val/ulm", "cs/bonn", "other")
            },
            "targets": ["cs/ulm", "cs/bonn"],
            "measure": {"evaluate": {"cs": "val", "cs/bonn": "other"}},
        }
    )
    assert held_back_of(config) == {"cs/ulm": "val/ulm", "cs/bonn": "other"}


def test_few_shots_train_on_the_images_of_a_data_set_that_is_spread_as_thin(tmp_path):
    """So the same images can be scored: `otce run CONFIG --set datasets.bay.spread=3`."""
    place = Place(str(tmp_path), {})
    place.write(*(pair(f"{n:02d}", n) for n in range(8)))
    bay = place.open()
    digests = [bay.digests(item) for item in bay.items]
    listed = Listed(
        id="bay",
        config=bay._config,
        items=bay.items,
        image_digests=tuple(image for image, _ in digests),
        label_digests=tuple(label for _, label in digests),
        digest="",
        classes=bay.classes,
    )
    few = _part(listed, 3)
    assert [item.id for item in few.items] == ["01", "04", "06"]
    assert few.items == place.open(spread=3).items
    assert few.digests == tuple(place.open(spread=3).digests(item) for item in few.items)
    for (image, label), item in zip(few.images({}), few.items, strict=True):
        assert np.array_equal(image, bay.image(item))
        assert np.array_equal(label, bay.label(item))
