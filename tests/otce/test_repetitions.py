"""Kept ranges of repetitions serve any later run, and nothing is taken twice."""

from hypothesis import given
from hypothesis import strategies as st

from otce.repetitions import kept_repetitions, repetitions_name

RANGES = st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda r: range(r[0], sum(r)))


@given(kept=st.lists(RANGES, max_size=5), wanted=RANGES)
def test_every_wanted_repetition_is_found_once_or_missing(kept, wanted):
    names = [repetitions_name("ab", span) for span in kept]
    found, missing = kept_repetitions([*names, "cd.0-20", "0123"], "ab", wanted)
    spans = sorted([*found.values(), *missing], key=lambda span: span.start)
    assert [r for span in spans for r in span] == list(wanted)
    held = {r for span in kept for r in span}
    assert {r for span in missing for r in span} == set(wanted) - held
    for name, span in found.items():
        assert set(span) <= set(kept[names.index(name)])
    assert list(found.values()) == sorted(found.values(), key=lambda span: span.start)


@given(kept=st.lists(RANGES, max_size=5), order=st.randoms())
def test_the_order_of_a_listing_does_not_matter(kept, order):
    names = [repetitions_name("ab", span) for span in kept]
    shuffled = list(names)
    order.shuffle(shuffled)
    wanted = range(10)
    assert kept_repetitions(names, "ab", wanted) == kept_repetitions(shuffled, "ab", wanted)


def test_a_longer_race_takes_what_a_shorter_one_kept():
    names = ["ab.0-0", "ab.1-1", "ab.2-3"]
    found, missing = kept_repetitions(names, "ab", range(10))
    assert [*found] == names
    assert missing == [range(4, 10)]
