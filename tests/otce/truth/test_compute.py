"""What scores cost beside short fine-tunes, against figures told by hand."""

import pytest

from otce.truth.compute import compute_of


def scored(pairs, *, gpu_s=0.0):
    """Two seconds for a model's features and one for each of its pairs."""
    rows = [("extract", "net", "source", 2.0)]
    rows += [("solve", "net", target, 1.0) for target in pairs]
    names = ("step", "source_model", "dataset", "cpu_s")
    return [dict(zip(names, row, strict=True)) | {"gpu_s": gpu_s} for row in rows]


def tuned(*cpu_s, steps=10, kind="short_fine_tune", gpu_s=0.0):
    """Half of the time goes into reading and judging, the other half into steps."""
    return [
        {"kind": kind, "cpu_s": s, "training_cpu_s": s / 2, "steps": steps, "gpu_s": gpu_s}
        for s in cpu_s
    ]


def test_a_pair_has_its_share_of_all_that_was_spent():
    found = compute_of(scored(["bay", "cove"]), tuned(3.0, 5.0))
    assert (found.score_s, found.short_s, found.steps) == (2.0, 4.0, 10)


@pytest.mark.parametrize(("cpu_s", "steps"), [(2.0, 10), (4.0, 0), (3.0, 3), (1.0, 30), (9.0, 0)])
def test_with_the_equal_steps_both_cost_the_same(cpu_s, steps):
    """Or as near as a whole number of steps comes, and not at all where there are none."""
    found = compute_of(scored(["bay", "cove"]), tuned(cpu_s))
    assert found.equal_steps == steps
    if steps:
        assert abs(cpu_s / 2 + steps * cpu_s / 2 / 10 - found.score_s) <= cpu_s / 2 / 10 / 2


def test_other_transfers_do_not_count():
    both = tuned(4.0) + tuned(100.0, kind="head")
    assert compute_of(scored(["bay"]), both) == compute_of(scored(["bay"]), tuned(4.0))


@pytest.mark.parametrize(
    ("timings", "transfers"),
    [
        ([], tuned(1.0)),
        (scored(["bay"]), []),
        (scored(["bay"]), tuned(1.0, kind="head")),
        (scored(["bay"], gpu_s=1.0), tuned(1.0)),
        ([row | {"cpu_s": None} for row in scored(["bay"])], tuned(1.0)),
        (scored(["bay"]), tuned(1.0, gpu_s=1.0)),
    ],
)
def test_what_cannot_be_compared_is_not(timings, transfers):
    assert compute_of(timings, transfers) is None
