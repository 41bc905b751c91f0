"""No score where there is none: bad arguments, no certificate, and values out of reach."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.errors import DataError, TransportError
from otce.scores import score_pixels
from otce.transport import pot
from tests.drawn import Draw, clouds, entropy, separated

RIGHT = ([[0.0], [1.0]], [0, 1], [[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (0, [0.0, 1.0], r"source features have shape \(2,\) and labels \(2,\)"),
        (0, [[0.0]], r"source features have shape \(1, 1\) and labels \(2,\); expected"),
        (1, [[0, 1]], r"labels \(1, 2\); expected \(N, D\) and \(N,\)"),
        (2, [[], []], r"target features have shape \(2, 0\).* at least one pixel"),
        (2, np.zeros((0, 1)), r"target features have shape \(0, 1\)"),
        (1, [0.0, 1.0], r"source labels are torch.float32; expected integers"),
        (3, [True, False], r"target labels are torch.bool; expected integers"),
        (3, [1j, 0], r"target labels are torch.complex64; expected integers"),
        (0, [[1j], [0]], r"source features are torch.complex64; expected real numbers"),
        (2, [[1.0, 2.0], [3.0, 4.0]], "source features have 1 dimensions and target features 2"),
        (0, [["a"], ["b"]], "source features or labels are no array of numbers"),
        (3, np.array(["x", None]), "target features or labels are no array of numbers"),
        (2, [[1.0], [2.0, 3.0]], "target features or labels are no array of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(place, wrong, message):
    arguments = list(RIGHT)
    arguments[place] = wrong
    with pytest.raises(DataError, match=message):
        score_pixels(*arguments)


@pytest.mark.parametrize("value", [0, -0.1, np.nan, np.inf])
@pytest.mark.parametrize("name", ["epsilon", "tolerance"])
def test_couplingthat_are_no_positive_number_are_refused(name, value):
    with pytest.raises(TransportError, match=f"{name} is .*; it must be a positive number"):
        score_pixels(*RIGHT, **{name: value})


def test_fewer_than_one_iteration_is_refused():
    with pytest.raises(TransportError, match="max_iterations is 0; it must be at least 1"):
        score_pixels(*RIGHT, max_iterations=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("feature_scaling", "'typo' is none of standardize, softmax, l2, none"),
        ("relaxation", "'typo' is none of none, source"),
        ("class_weights", "'typo' is none of uniform, balanced, balanced_source, target_prior"),
        ("solver", "'typo' is none of auto, pot, emd"),
    ],
)
def test_a_misspelt_word_is_no_other_recipe(name, message):
    """`feature_scaling="standardise"` scored raw features: no case matched, and none was missed."""
    with pytest.raises(TransportError, match=message):
        score_pixels(*RIGHT, **{name: "typo"})


def test_target_prior_without_a_common_class_is_refused():
    with pytest.raises(DataError, match=r"no target class of \[7, 8\] occurs among the source"):
        score_pixels([[0.0], [1.0]], [0, 1], [[0.0], [1.0]], [7, 8], class_weights="target_prior")


def test_an_unsolved_coupling_is_an_error_that_says_what_to_do():
    draw = clouds(0, n=40, m=30)
    with pytest.raises(TransportError) as caught:
        score_pixels(*draw.arguments, epsilon=1e-3, max_iterations=2, tolerance=1e-6)
    found = re.fullmatch(
        r"the coupling of 40 x 30 pixels is not solved: L1 marginal error (\S+) after (\d+) "
        r"iterations, allowed 1e-06 \(solver auto, epsilon 0.001\); raise max_iterations or "
        r"epsilon, scale the features, or use solver: emd",
        str(caught.value),
    )
    assert float(found[1]) > 1e-6
    assert int(found[2]) > 2


def test_a_simplex_without_proof_is_an_error(monkeypatch):
    monkeypatch.setattr(pot, "_EMD_ITERATIONS", 1)
    with pytest.raises(TransportError, match=r"is not solved: .* \(solver emd"):
        score_pixels(*clouds(0).arguments, solver="emd")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 2])
@pytest.mark.parametrize("feature_scaling", ["none", "standardize", "softmax", "l2"])
def test_features_that_are_not_finite_are_refused(bad, side, feature_scaling):
    arguments = [array.copy() for array in clouds(0).arguments]
    arguments[side][3, 1] = bad
    with pytest.raises(TransportError, match="1 of 132 feature values are not finite; check"):
        score_pixels(*arguments, feature_scaling=feature_scaling)


COUPLINGS = pytest.mark.parametrize(
    "coupling", [{}, {"relaxation": "source"}, {"solver": "emd"}], ids=["none", "source", "emd"]
)


def score_or_none(draw, **recipe):
    try:
        return score_pixels(*draw.arguments, **recipe)
    except TransportError:
        return None


@COUPLINGS
@pytest.mark.parametrize("size", [1e150, 1e160, 1e308])
def test_squares_that_overflow_are_refused(size, coupling):
    draw = separated(size=size / 2)
    with pytest.raises(TransportError, match="or raise epsilon"):
        score_pixels(*draw.arguments, feature_scaling="none", **coupling)


@COUPLINGS
@pytest.mark.parametrize("feature_scaling", ["standardize", "l2"])
@settings(max_examples=30, deadline=None)
@given(exponent=st.floats(-300, 300))
def test_scaled_features_of_any_size_score_right(feature_scaling, coupling, exponent):
    """With l2, the length of features beyond 1e154 was infinite, and every score -H(T)."""
    draw = separated(size=10.0**exponent)
    score = score_pixels(*draw.arguments, feature_scaling=feature_scaling, epsilon=0.05, **coupling)
    assert score.otce == pytest.approx(0, abs=1e-6)


@COUPLINGS
@settings(max_examples=50, deadline=None)
@given(exponent=st.floats(-140, 300))
def test_raw_features_of_any_size_score_right_or_not_at_all(coupling, exponent):
    """POT's simplex takes costs below 1e-15 for 0, so small features scored at random."""
    score = score_or_none(separated(size=10.0**exponent), feature_scaling="none", **coupling)
    if coupling.get("solver") == "emd":
        assert exponent > 5 if score is None else abs(score.otce) < 1e-9
    elif exponent < -4:
        assert score.otce == pytest.approx(-np.log(3), abs=1e-6)
    elif exponent > 1:
        assert exponent > 2 if score is None else abs(score.otce) < 1e-6


@COUPLINGS
@settings(max_examples=50, deadline=None)
@given(exponent=st.floats(1, 30))
def test_a_far_outlier_leaves_the_other_pixels_their_score_or_there_is_none(coupling, exponent):
    features = np.append(np.repeat([0.0, 3.0], 10), 10.0**exponent)[:, None]
    labels = np.append(np.repeat([0, 1], 10), 2)
    draw = Draw(features, labels, features, labels)
    score = score_or_none(draw, feature_scaling="none", **coupling)
    assert exponent > 5 if score is None else abs(score.otce) < 1e-6


@COUPLINGS
def test_duplicate_pixels_are_no_trouble(coupling):
    features = np.repeat([[0.0, 1.0], [9.0, 1.0]], 10, axis=0)
    labels = np.repeat([0, 1], 10)
    score = score_pixels(features, labels, features, labels, feature_scaling="none", **coupling)
    assert score.otce == pytest.approx(0, abs=1e-9)


@COUPLINGS
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (5, 1), (2, 50), (50, 2)])
def test_single_pixels_and_uneven_sides_score(coupling, n, m):
    draw = clouds(0, n=n, m=m, n_source=2, n_target=2)
    score = score_pixels(*draw.arguments, **coupling)
    assert score.joint.sum() == pytest.approx(1)
    if n == 1:
        assert score.otce == pytest.approx(-entropy(np.bincount(draw.target_y) / m), abs=1e-9)


def test_features_still_in_a_graph_are_scored():
    draw = clouds(1)
    network = torch.nn.Linear(3, 2)
    mapped = (network(torch.from_numpy(x).float()) for x in (draw.source_ND, draw.target_MD))
    source, target = mapped
    assert score_pixels(source, draw.source_y, target, draw.target_y).otce <= 0
