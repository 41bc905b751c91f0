"""Laws of all scores of target features and labels: order, names, rotation, scale, influence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.gbc import gbc, weighted_gbc
from otce.scores.h_score import (
    h_score,
    h_score_shrunk,
    weighted_h_score,
    weighted_h_score_shrunk,
)
from otce.scores.influence import measured
from otce.scores.logme import logme, weighted_logme
from otce.scores.transrate import transrate, weighted_transrate
from tests.drawn import clouds

torch.set_num_threads(1)
PLAIN = [logme, h_score, h_score_shrunk, gbc, transrate]
WEIGHTED = [
    weighted_logme,
    weighted_h_score,
    weighted_h_score_shrunk,
    weighted_gbc,
    weighted_transrate,
]
EXAMPLES = settings(max_examples=25, deadline=None)
every_score = pytest.mark.parametrize("score", PLAIN, ids=lambda score: score.__name__)
every_weighted = pytest.mark.parametrize("score", WEIGHTED, ids=lambda score: score.__name__)


@st.composite
def drawn(draw):
    """Pixels of overlapping classes, fewer or more of them than dimensions."""
    made = clouds(
        draw(st.integers(0, 2**32 - 1)),
        m=draw(st.integers(6, 40)),
        dim=draw(st.integers(1, 12)),
        n_target=draw(st.integers(2, 5)),
    )
    return made.target_MD, made.target_y


def rotation(seed, dim):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


@every_score
@EXAMPLES
@given(made=drawn(), seed=st.integers(0, 2**32 - 1))
def test_neither_order_nor_names_nor_rotations_matter(score, made, seed):
    x, y = made
    generator = np.random.default_rng(seed)
    order, names = generator.permutation(len(y)), generator.permutation(50)[:5] - 20
    turned = x[order] @ rotation(seed, x.shape[1])
    assert score(turned, names[y[order]]) == pytest.approx(score(x, y), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("score", [h_score, h_score_shrunk, gbc, transrate])
@EXAMPLES
@given(made=drawn(), shift=st.floats(-100, 100))
def test_shifts_do_not_matter_where_features_are_centred(score, made, shift):
    x, y = made
    assert score(x + shift, y) == pytest.approx(score(x, y), rel=1e-6, abs=1e-7)


def test_logme_has_no_intercept_as_published():
    x, y = clouds(0).target_MD, clouds(0).target_y
    assert abs(logme(x + 3, y) - logme(x, y)) > 1e-3


@pytest.mark.parametrize("score", [logme, h_score, h_score_shrunk])
@pytest.mark.parametrize("size", [1e-90, 1e-20, 1e20, 1e90])
def test_the_scale_does_not_matter_to(score, size):
    x, y = clouds(1).target_MD, clouds(1).target_y
    assert score(size * x, y) == pytest.approx(score(x, y), rel=1e-9)


@EXAMPLES
@given(made=drawn())
def test_ranges_are_those_documented(made):
    x, y = made
    classes, dim = len(np.unique(y)), x.shape[1]
    for score in (h_score, h_score_shrunk):
        assert -1e-9 <= score(x, y) <= min(classes - 1, dim) + 1e-7
    assert -classes * (classes - 1) <= gbc(x, y) <= 0
    assert transrate(x, y) >= -1e-9


def awkward(kind):
    """Features at which derivatives by way of decompositions break."""
    made = clouds(3, m=40, dim=4, n_target=4)
    x, y = made.target_MD, made.target_y
    match kind:
        case "plain":
            pass
        case "equal eigenvalues":
            # All of +-e_k equally often: every second moment of a dimension is the same.
            x = np.concatenate([np.eye(5), -np.eye(5)] * 4)
            y = np.random.default_rng(0).integers(0, 3, 40)
        case "constant dimensions":
            x = np.c_[x, np.zeros(40), np.full(40, 7.3)]
        case "a dimension twice":
            x = np.c_[x, x[:, :1]]
        case "one dimension":
            x = x[:, :1]
        case "more dimensions than pixels":
            x = clouds(4, m=40, dim=70, n_target=4).target_MD
        case "classes of one pixel":
            y = y.copy()
            y[:2] = 10, 11
        case "far from the origin":
            x = x + 50
        case "dimensions of unlike size":
            x = x * [1e-3, 1, 10, 1e3]
    return torch.as_tensor(x), torch.unique(torch.as_tensor(y), return_inverse=True)[1]


KINDS = [
    "plain",
    "equal eigenvalues",
    "constant dimensions",
    "a dimension twice",
    "one dimension",
    "more dimensions than pixels",
    "classes of one pixel",
    "far from the origin",
    "dimensions of unlike size",
]


@every_weighted
@pytest.mark.parametrize("kind", KINDS)
def test_influences_are_the_derivatives_by_log_weights(score, kind):
    x, index = awkward(kind)
    n = len(index)
    found = measured(lambda weight: score(x, index, weight), n)
    assert found.target_influence.sum() == pytest.approx(0, abs=1e-9)
    for j in range(0, n, 3):
        step = torch.zeros(n, dtype=torch.float64)
        step[j] = 1e-4
        up, down = (float(score(x, index, (sign * step).exp())) for sign in (1, -1))
        slope = (up - down) / 2e-4
        assert found.target_influence[j] == pytest.approx(slope, rel=1e-3, abs=2e-6)


@every_weighted
@pytest.mark.parametrize("kind", ["plain", "more dimensions than pixels"])
def test_influences_hold_at_unequal_weights_too(score, kind):
    x, index = awkward(kind)
    weight = torch.rand(len(index), generator=torch.Generator().manual_seed(0)).double() + 0.5
    weight.requires_grad_()
    (gradient,) = torch.autograd.grad(score(x, index, weight), weight)
    step = torch.randn(len(index), generator=torch.Generator().manual_seed(1)).double() * 1e-4
    with torch.no_grad():
        moved = float(score(x, index, weight + step) - score(x, index, weight - step)) / 2
    assert moved == pytest.approx(float(gradient @ step), rel=1e-3, abs=1e-10)


@pytest.mark.parametrize(
    ("plain", "weighted"), zip(PLAIN, WEIGHTED, strict=True), ids=[p.__name__ for p in PLAIN]
)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_of_any_size_give_the_plain_score(plain, weighted, kind):
    x, index = awkward(kind)
    for weight in (1 / len(index), 1e-9, 1e9):
        given_weights = torch.full((len(index),), weight, dtype=torch.float64)
        value = float(weighted(x, index, given_weights))
        assert value == pytest.approx(plain(x, index), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("score", [weighted_h_score, weighted_transrate])
@EXAMPLES
@given(made=drawn(), seed=st.integers(0, 2**32 - 1))
def test_a_pixel_of_weight_k_is_that_pixel_k_times(score, made, seed):
    x, y = (torch.as_tensor(part) for part in made)
    times = torch.as_tensor(np.random.default_rng(seed).integers(1, 4, len(y)))
    ones = torch.ones(int(times.sum()), dtype=torch.float64)
    repeated = score(x.repeat_interleave(times, 0), y.repeat_interleave(times), ones)
    assert float(score(x, y, times.double())) == pytest.approx(float(repeated), rel=1e-6, abs=1e-7)


@every_score
def test_constant_features_say_nothing_and_are_no_error(score):
    y = np.array([0, 0, 1, 1, 2])
    nothing = {h_score: 0.0, h_score_shrunk: 0.0, gbc: -6.0, transrate: 0.0}
    for level in (0.0, 0.1, -1e20, 1e-20):
        value = score(np.full((5, 3), level), y)
        assert np.isfinite(value)
        if score in nothing:
            assert value == nothing[score]


@every_score
@pytest.mark.parametrize("size", [1e-300, 1e-100, 1e-20, 1e-8, 1e8, 1e20, 1e99])
def test_no_scale_gives_a_score_that_is_no_number(score, size):
    for kind in KINDS:
        x, index = awkward(kind)
        try:
            value = score(size * x / x.abs().max(), index)
        except DataError as error:
            assert "scale the features" in str(error)  # noqa: PT017
            assert score is transrate
            assert size > 1e3
            continue
        assert np.isfinite(value)


@every_score
def test_unusable_pixels_are_refused(score):
    with pytest.raises(DataError, match="all 2 target pixels have the label 7"):
        score([[0.0], [1.0]], [7, 7])
    with pytest.raises(DataError, match="not finite"):
        score([[0.0], [np.nan], [1.0]], [7, 7, 8])


@every_score
def test_classes_that_are_told_apart_score_higher(score):
    generator = np.random.default_rng(0)
    y = generator.integers(0, 4, 300)
    means, noise = generator.normal(size=(4, 6)), generator.normal(size=(300, 6))
    scores = [score(size * means[y] + noise, y) for size in (0.0, 0.5, 1.0, 2.0)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]
