"""`every`, `limit` and `seed` choose items by their ids alone, and are part of the science."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.datasets.selection import chosen_ids, evenly_spaced
from otce.errors import DataError
from tests.folders import Place, pair
from tests.layouts import LAYOUTS, LayoutPlace

IDS = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=30)
SEEDS = st.integers(0, 2**63 - 1)
MANY = [f"city/{n:04d}" for n in range(200)]


@given(IDS, SEEDS, st.integers(1, 30), st.integers(1, 4), st.randoms())
def test_the_choice_knows_no_order(ids, seed, limit, every, random):
    shuffled = random.sample(sorted(ids), len(ids))
    chosen = chosen_ids(shuffled, every=every, limit=limit, seed=seed)
    assert chosen == chosen_ids(sorted(ids), every=every, limit=limit, seed=seed)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(sorted(ids)[::every])
    assert len(chosen) == min(limit, -(-len(ids) // every))


@given(IDS, SEEDS, st.integers(1, 20), st.integers(0, 20))
def test_a_higher_limit_only_adds(ids, seed, limit, more):
    few, many = (chosen_ids(ids, limit=most, seed=seed) for most in (limit, limit + more))
    assert set(few) <= set(many)


@given(IDS, st.text(min_size=1, max_size=8), SEEDS, st.integers(1, 20))
def test_an_item_that_joins_displaces_at_most_one(ids, new, seed, limit):
    before, after = (set(chosen_ids(i, limit=limit, seed=seed)) for i in (ids, ids | {new}))
    assert after - before <= {new}
    assert len(before - after) <= 1


def test_each_so_many_th_is_taken_in_order_of_ids():
    assert chosen_ids("edcba", every=2) == ["a", "c", "e"]
    assert chosen_ids("edcba", every=9) == ["a"]
    assert chosen_ids("edcba") == list("abcde")


@given(IDS, st.floats(0, 1))
def test_two_parts_that_meet_have_nothing_in_common_and_miss_nothing(ids, share):
    first, second = (chosen_ids(ids, between=part) for part in ((0.0, share), (share, 1.0)))
    assert first + second == sorted(ids)


@given(st.integers(1, 60), st.integers(1, 70))
def test_a_spread_choice_is_spaced_as_evenly_as_can_be(n_items, most):
    positions = evenly_spaced(n_items, most)
    assert len(positions) == min(n_items, most)
    steps = {after - before for before, after in pairwise(positions)}
    assert not steps or (max(steps) - min(steps) <= 1 and min(steps) >= 1)
    assert 0 <= positions[0] <= positions[-1] < n_items
    # As much is left out before the first as after the last.
    assert abs(positions[0] - (n_items - 1 - positions[-1])) <= 1


def test_every_item_is_as_likely_as_any_other():
    counts = dict.fromkeys(MANY, 0)
    for seed in range(200):
        for id_ in chosen_ids(MANY, limit=50, seed=seed):
            counts[id_] += 1
    # 200 draws of a quarter: 50 with a standard deviation of 6.1.
    assert min(counts.values()) > 50 - 5 * 6.1
    assert max(counts.values()) < 50 + 5 * 6.1


def test_the_choice_is_the_same_in_every_process():
    script = "from otce.datasets.selection import chosen_ids as c; print(c('abcdefgh', limit=3))"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {str(chosen_ids("abcdefgh", limit=3))}


@pytest.fixture
def folder(store_uri, store_options):
    names = [f"{n:02d}" for n in range(9)]
    place = Place(store_uri, store_options)
    place.write(*(pair(name, seed) for seed, name in enumerate(names)))
    return place.write({"list.txt": "\n".join(names[:5]).encode()})


def ids(dataset):
    return [item.id for item in dataset.items]


def test_a_folder_is_thinned_then_drawn_from(folder):
    assert ids(folder.open(every=4)) == ["00", "04", "08"]
    drawn = ids(folder.open(limit=3, seed=1))
    assert drawn == chosen_ids(ids(folder.open()), limit=3, seed=1)
    assert set(ids(folder.open(every=2, limit=2))) <= {"00", "02", "04", "06", "08"}
    assert ids(folder.open(items="list.txt", every=2)) == ["00", "02", "04"]
    assert folder.open(every=2, limit=2).notes == ("2 of 9 items chosen",)
    assert folder.open(limit=9).notes == ()


def test_a_folder_is_cut_in_time_and_spread(folder):
    assert ids(folder.open(between=(0, 0.6))) == ["00", "01", "02", "03", "04"]
    assert ids(folder.open(between=(0.6, 1))) == ["05", "06", "07", "08"]
    assert ids(folder.open(between=(0, 0.6), every=2, spread=2)) == ["00", "04"]
    assert ids(folder.open(spread=3)) == ["01", "04", "07"]
    with pytest.raises(DataError, match=r"none of 9 items lies between \[0.46, 0.5\]; widen it"):
        folder.open(between=(0.46, 0.5)).items  # noqa: B018
    with pytest.raises(ValueError, match=r"\[0.6, 0.6\] holds nothing"):
        folder.open(between=(0.6, 0.6))


def test_a_choice_changes_the_digest_through_its_items_alone(folder):
    digests = [
        folder.digest(),
        folder.digest(every=2),
        folder.digest(limit=4),
        folder.digest(limit=4, seed=1),
    ]
    assert len(set(digests)) == 4
    assert folder.digest(limit=9, seed=3) == digests[0]
    pinned = folder.write({"pinned.txt": "\n".join(ids(folder.open(limit=4))).encode()})
    assert pinned.digest(items="pinned.txt") == digests[2]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_of_files_can_be_thinned_and_pinned(tmp_path, name):
    drawn = LAYOUTS[name]
    place = LayoutPlace(str(tmp_path), {}, drawn).write(drawn.files())
    assert place.ids(every=2) == list(drawn.ids[::2])
    assert place.ids(limit=1, seed=4) == chosen_ids(drawn.ids, limit=1, seed=4)
    place.write({"pinned.txt": drawn.ids[1].encode()})
    fields = {"split": None} if drawn.kind == "voc" else {}
    assert place.ids(items="pinned.txt", **fields) == [drawn.ids[1]]
