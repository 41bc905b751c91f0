"""Drift: what moved since the run before, and whether that is more than noise."""

import numpy as np
import pytest
from scipy.stats import t as student

from otce.drift import DRIFT, Earlier, changed_pairs, drift, interval, moved, sentence
from otce.intervals import Side
from otce.report.drift import drift_section
from otce.tables import SUMMARY, table
from tests.drawn_runs import page, scored

MANIFEST = {
    "seed": 0,
    "sampling": {"pixels": 10},
    "score": {"epsilon": 0.1},
    "datasets": {"bay": {"digest": "aa"}},
    "models": {
        m: {"weights_digest": m, "source": "alder", "source_digest": "cc", "tap": "head"}
        for m in ("a", "b", "c")
    },
}


def summary(**means):
    """One target, ranked by mean; a value is (mean, stderr, fingerprint) or less."""
    rows = []
    order = sorted(means, key=lambda model: -np.atleast_1d(means[model])[0].astype(float))
    for rank, model in enumerate(order, 1):
        mean, stderr, name = (*np.atleast_1d(means[model]).tolist(), None, None)[:3]
        rows.append(
            dict.fromkeys(SUMMARY.names)
            | {"target_dataset": "bay", "source_model": model, "metric": "otce", "rank": rank}
            | {"mean": float(mean), "stderr": stderr and float(stderr), "k_done": 5}
            | {"pair_fingerprint": name or f"{model}{mean}", "degenerate": "none", "tied_with": []}
        )
    return table(rows, SUMMARY)


def drifted(before, now, *, was=MANIFEST, is_=MANIFEST, sides=None):
    return drift(Earlier("n-0001", was, before), is_, now, sides or {})


def by_model(found):
    return {row["source_model"]: row for row in found.to_pylist()}


def sides(digest, influence):
    influence = np.asarray(influence, float)
    return [Side(digest, np.arange(len(influence), dtype=np.int32), influence - influence.mean())]


def test_equal_fingerprints_are_the_same_and_moved_by_nothing():
    one = summary(a=-0.1, b=-0.2)
    for row in drifted(one, one).to_pylist():
        assert row["why"] == "same"
        assert (row["change"], row["change95_low"], row["change95_high"]) == (0, 0, 0)
        assert row["beyond"] is False
        assert row["previous_rank"] == row["rank"]


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("model", lambda run: run["models"]["a"].update(weights_digest="other")),
        ("source", lambda run: run["models"]["a"].update(source_digest="other")),
        ("target", lambda run: run["datasets"]["bay"].update(digest="other")),
        ("recipe", lambda run: run["score"].update(epsilon=0.2)),
        ("recipe", dict),
    ],
)
def test_what_changed_is_told(why, change):
    other = {
        **MANIFEST,
        "score": dict(MANIFEST["score"]),
        "datasets": {"bay": dict(MANIFEST["datasets"]["bay"])},
        "models": {m: dict(model) for m, model in MANIFEST["models"].items()},
    }
    change(other)
    found = by_model(drifted(summary(a=-0.1), summary(a=-0.2), is_=other))
    assert found["a"]["why"] == why
    assert found["a"]["change"] == pytest.approx(-0.1)


def test_a_pair_of_one_run_only_is_new_or_gone():
    found = by_model(drifted(summary(a=-0.1, b=-0.2), summary(b=-0.2, c=-0.05)))
    assert {model: row["why"] for model, row in found.items()} == {
        "a": "gone",
        "b": "same",
        "c": "new",
    }
    assert (found["a"]["mean"], found["a"]["rank"], found["a"]["change"]) == (None, None, None)
    assert (found["c"]["previous_mean"], found["c"]["beyond"]) == (None, None)


def test_images_of_one_data_set_enter_by_their_difference():
    """A whole-zoo shift of what each image adds cancels; another data set's does not."""
    influence = np.array([0.3, -0.1, -0.2, 0.0])
    nudged = influence + np.array([0.01, -0.01, 0.01, -0.01])
    paired = interval(sides("ab", influence), sides("ab", nudged))
    difference = np.array([0.01, -0.01, 0.01, -0.01])
    wanted = student.ppf(0.975, 3) * 4 / 3 * np.sqrt(np.square(difference).sum())
    assert paired == pytest.approx(wanted, rel=1e-9)
    apart = interval(sides("ab", influence), sides("cd", nudged))
    variances = [(4 / 3) ** 2 * np.square(one - one.mean()).sum() for one in (influence, nudged)]
    freedom = sum(variances) ** 2 / sum(v**2 / 3 for v in variances)
    assert apart == pytest.approx(student.ppf(0.975, freedom) * np.sqrt(sum(variances)), rel=1e-9)
    assert paired < apart / 10


def test_without_images_the_interval_is_that_of_welch():
    found = by_model(drifted(summary(a=(-0.5, 0.03)), summary(a=(-0.4, 0.04))))["a"]
    freedom = 0.05**4 / (0.03**4 / 4 + 0.04**4 / 4)
    half = student.ppf(0.975, freedom) * 0.05
    assert found["change95_low"] == pytest.approx(0.1 - half)
    assert found["change95_high"] == pytest.approx(0.1 + half)
    assert found["beyond"] is False


def test_single_draws_without_images_have_no_interval():
    found = by_model(drifted(summary(a=-0.5), summary(a=-0.4)))["a"]
    assert found["change"] == pytest.approx(0.1)
    assert (found["change95_low"], found["beyond"]) == (None, None)


def test_intervals_cover_nineteen_of_twenty_changes_of_nothing():
    """Two draws of images of one distribution: the change is noise, whichever it is."""
    generator = np.random.default_rng(0)
    covered = 0
    for n in range(400):
        values = [generator.normal(0, 1, 30) for _ in range(2)]
        mean = [one.mean() for one in values]
        old, new = (
            sides(digest, (one - one.mean()) / 30)
            for digest, one in zip((f"{n:04x}", "ff"), values, strict=True)
        )
        covered += abs(mean[1] - mean[0]) <= interval(old, new)
    assert 0.92 <= covered / 400 <= 0.98


def test_only_metrics_of_both_runs_that_differ_are_read_anew():
    before, now = summary(a=-0.1, b=-0.2), summary(a=-0.1, b=-0.3, c=-0.4)
    assert changed_pairs(before, now) == {"b-0.2", "b-0.3"}


def test_first_models_that_change_places_within_their_intervals_raise_no_alarm():
    swapped = drifted(
        summary(a=(-0.50, 0.1), b=(-0.51, 0.1)), summary(a=(-0.52, 0.1), b=(-0.5, 0.1))
    )
    assert [row["beyond"] for row in swapped.to_pylist()] == [False, False]
    assert moved(swapped, 1) == []


def test_first_models_that_moved_beyond_them_do():
    risen = drifted(
        summary(a=(-0.5, 0.01, "same"), b=(-0.6, 0.01)),
        summary(a=(-0.5, 0.01, "same"), b=(-0.1, 0.01)),
    )
    moves = moved(risen, 1)
    assert [move._asdict() for move in moves] == [
        {"target": "bay", "entered": ["b"], "left": ["a"]}
    ]
    assert moved(risen, 2) == []
    assert sentence(moves, 1, "n-0001") == (
        "the first 1 changed beyond their intervals since n-0001: bay (in: b; out: a)"
    )


def test_a_new_model_among_the_first_raises_one_although_nobody_moved():
    assert moved(drifted(summary(a=-0.5), summary(a=-0.5, b=-0.1)), 1)[0].entered == ["b"]
    assert moved(drifted(summary(a=-0.5), summary(a=-0.5, b=-0.9)), 1) == []


def test_every_column_says_what_it_means():
    assert all(field.metadata[b"meaning"] for field in DRIFT)


def test_the_report_tells_what_moved_and_keeps_silent_otherwise():
    pair = scored("a", "bay", np.array([[0.4, 0.1], [0.1, 0.4]]))
    still = drifted(summary(a=-0.1), summary(a=-0.1))
    assert drift_section(still) is None
    assert drift_section(None) is None
    assert "What moved" not in page(pair, drift=still)
    target = {**MANIFEST, "datasets": {"bay": {"digest": "bb"}}}
    found = drifted(summary(a=(-0.5, 0.001)), summary(a=(-0.1, 0.001), b=-0.3), is_=target)
    html = page(pair, drift=found)
    assert "Since <b>n-0001</b> 1 of 1 OTCE scores were computed anew" in html
    assert "1 moved beyond their 95 % intervals" in html
    assert 'aria-label="Scores and ranks that moved"' in html
