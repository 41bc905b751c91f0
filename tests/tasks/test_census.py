"""A data set is counted once for all runs over it, however it is cut into shards."""

import numpy as np
import pytest

from otce import tables
from otce.config_file import check
from otce.errors import DataError
from otce.sampling import Sample
from otce.storage.store import Store
from otce.yaml_places import Document
from tasks.census import Census, kept_census, take_census
from tasks.listing import list_dataset
from tasks.retry import Window
from tests.folders import HEIGHT_WIDTH, Place, mask, pair, photo, png

VOID = png(np.full(HEIGHT_WIDTH, 255, np.uint8))


@pytest.fixture
def place(tmp_path):
    place = Place(str(tmp_path / "data"), {})
    place.write(*(pair(f"{n}", n) for n in range(5)))
    return place.write({"i/void.png": png(photo()), "l/void.png": VOID})


def run_config(place, **changes):
    folder = {"layout": f"folder:{place.uri}", "images": "i/*.png", "labels": "l/*.png"}
    data = {
        "datasets": {
            "city": folder | {"classes": ["road", "sky", "tree"]},
            "alder": {"layout": "scenes:alder"},
        },
        "models": {"net": {"reference": "python:n:n", "weights": "w", "source": "alder"}},
        "targets": ["city"],
        "sampling": {"pixels": 60, "repetitions": 2},
    }
    return check(Document(data | changes))


def census(config, store):
    window = Window(2, attempts=1, time_limit_s=60)
    return take_census.fn(list_dataset("city", config), config, store, window)


def same(one, other):
    return all(np.array_equal(column, vars(other)[name]) for name, column in vars(one).items())


@pytest.fixture
def store(tmp_path, ray_plan):
    return Store(str(tmp_path / "store"))


def test_a_run_over_labels_that_were_counted_counts_nothing_again(place, store):
    """A void frame is never drawn from: after the first run only a count would read its mask."""
    census(run_config(place), store)
    [kept] = store.names("counts")
    listed = list_dataset("city", run_config(place))
    (store_file := store.get_table(f"counts/{kept}", tables.COUNTS)).validate()
    assert store_file["item_id"].to_pylist() == [item.id for item in listed.items]
    config = run_config(place, seed=1)
    window = Window(2, attempts=1, time_limit_s=60)
    place.write({"l/void.png": b"broken"})
    again = take_census.fn(listed, config, store, window)
    assert again.class_px == tuple(place_counts(place))
    assert kept_census(listed, config, store) is not None
    assert store.names("counts") == [kept]


def place_counts(place):
    raw = [mask(n) for n in range(5)]
    return [sum(int((m == class_id).sum()) for m in raw) for class_id in range(3)]


def test_labels_that_changed_are_counted_anew(place, store):
    census(run_config(place), store)
    place.write({"l/void.png": b"broken"})
    with pytest.raises(DataError, match=r"l/void\.png: 6 bytes that are neither"):
        census(run_config(place), store)
    place.write({"l/void.png": png(mask(9))})
    assert sum(census(run_config(place), store).class_px) > sum(place_counts(place))
    assert len(store.names("counts")) == 2


def test_shards_change_neither_counts_nor_draws(place, store, tmp_path):
    whole = census(run_config(place), store)
    other = Store(str(tmp_path / "other"))
    cut = census(run_config(place, execution={"items_per_shard": 2}), other)
    assert same(whole.sample, cut.sample)
    [kept] = store.names("counts")
    assert store.get(f"counts/{kept}") == other.get(f"counts/{kept}")


@pytest.mark.parametrize("changed", ["i/1.png", "l/1.png"])
def test_nothing_is_stored_of_a_data_set_that_changed_after_it_was_listed(place, store, changed):
    """B16: its counts would have been kept under the digest of what it was before."""
    config = run_config(place)
    listed = list_dataset("city", config)
    place.write({changed: png(photo(9)) if changed.startswith("i") else png(mask(9))})
    with pytest.raises(DataError, match=f"{changed}: changed since the data set was listed"):
        take_census.fn(listed, config, store, Window(2, attempts=1, time_limit_s=60))
    assert store.names("") == []


def test_heats_are_drawn_from_few_images_and_kept_apart(place, store):
    place.write(*(pair(f"more-{n}", n) for n in range(15)))
    race = {"heats": [1, 2], "heat_images": 0.1, "heat_pixels": 0.5}
    config = run_config(place, race=race)
    listed, window = list_dataset("city", config), Window(2, attempts=1, time_limit_s=60)
    found = take_census.fn(listed, config, store, window, heat=True)
    assert np.bincount(found.sample.repetition).tolist() == [30, 30, 30]
    # 16 of the 20 images with labels are the fewest that a heat looks at.
    images = [set(found.sample.item[found.sample.repetition == k]) for k in range(3)]
    assert all(len(seen) <= 16 for seen in images)
    assert images[0] != images[1]
    assert kept_census(listed, config, store) is None
    assert same(kept_census(listed, config, store, heat=True).sample, found.sample)


def test_where_a_heat_cannot_have_its_pixels_nothing_is_drawn(place, store):
    config = run_config(place, sampling={"pixels": 10**6, "repetitions": 1})
    window = Window(2, attempts=1, time_limit_s=60)
    found = take_census.fn(list_dataset("city", config), config, store, window, heat=True)
    assert found.sample.item.size == 0
    assert found.is_degenerate


@pytest.mark.parametrize(
    ("repetition", "label", "wanted"),
    [([0, 0, 1, 1], [0, 1, 2, 1], False), ([0, 0, 1, 1], [0, 1, 2, 2], True), ([], [], True)],
)
def test_a_draw_of_one_class_is_degenerate(repetition, label, wanted):
    none = np.zeros(len(label), np.int32)
    columns = np.array(repetition, np.int32), none, none, none, np.array(label, np.int32)
    sample = Sample(*columns, none.astype(bool))
    assert Census(None, (9, 9, 9), sample).is_degenerate == wanted
