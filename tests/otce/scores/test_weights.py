"""What holds for every metric of target pixels: weights, influences, order and names."""

import numpy as np
import pytest
import torch

from otce.errors import DataError
from otce.scores.cc_fv import cc_fv, weighted_cc_fv
from otce.scores.influence import measured
from otce.scores.knn import knn, weighted_knn
from otce.scores.leep import leep, weighted_leep
from otce.scores.nce import nce, weighted_nce
from otce.scores.nleep import nleep, weighted_nleep
from otce.scores.zero_shot import weighted_zero_shot_miou, zero_shot_miou

MAP = (0, 1, 1, -1, 7)


def pixels(n=60, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, n)
    features = generator.normal(size=(4, 5))[labels] + generator.normal(size=(n, 5))
    theta = generator.dirichlet(np.full(5, 0.5), n)
    return {
        "features": features,
        "theta": theta,
        "labels": labels,
        "images": generator.integers(0, 5, n),
    }


PLAIN = {
    "knn": lambda p: knn(p["features"], p["labels"], p["images"], neighbours=4),
    "nleep": lambda p: nleep(p["features"], p["labels"]),
    "cc_fv": lambda p: cc_fv(p["features"], p["labels"], p["images"]),
    "leep": lambda p: leep(p["theta"], p["labels"]),
    "nce": lambda p: nce(p["theta"], p["labels"]),
    "zero_shot_miou": lambda p: zero_shot_miou(p["theta"], p["labels"], MAP),
}
WEIGHTED = {
    "knn": lambda p, w: weighted_knn(p["features"], p["labels"], p["images"], w, neighbours=4),
    "nleep": lambda p, w: weighted_nleep(p["features"], p["labels"], w),
    "cc_fv": lambda p, w: weighted_cc_fv(p["features"], p["labels"], p["images"], w),
    "leep": lambda p, w: weighted_leep(p["theta"], p["labels"], w),
    "nce": lambda p, w: weighted_nce(p["theta"], p["labels"], w),
    "zero_shot_miou": lambda p, w: weighted_zero_shot_miou(p["theta"], p["labels"], MAP, w),
}
every_metric = pytest.mark.parametrize("metric", PLAIN)


def some_weights(n, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.2, 3.0, n))


@every_metric
def test_equal_weights_give_the_plain_metric_to_the_bit(metric):
    drawn, plain = pixels(), PLAIN[metric](pixels())
    assert measured(lambda w: WEIGHTED[metric](drawn, w), 60).value == plain
    for weight in (0.1, 1.0, 1e-200, 7e100):
        given = torch.full((60,), weight, dtype=torch.float64)
        assert float(WEIGHTED[metric](drawn, given)) == plain


@every_metric
def test_a_common_scale_of_weights_changes_nothing(metric):
    weights = some_weights(60)
    one, other = (WEIGHTED[metric](pixels(), scale * weights) for scale in (1.0, 1e-7))
    assert float(one) == pytest.approx(float(other), abs=1e-12)


@every_metric
@pytest.mark.parametrize("seed", [3, 4])
def test_the_derivative_is_that_of_finite_differences(metric, seed):
    drawn = pixels(seed=seed)
    weights = some_weights(60, seed).requires_grad_()
    (gradient,) = torch.autograd.grad(WEIGHTED[metric](drawn, weights), weights)
    assert bool(gradient.any())
    for j in range(0, 60, 7):
        step = torch.zeros(60, dtype=torch.float64)
        step[j] = 1e-5
        ends = [
            float(WEIGHTED[metric](drawn, weights.detach() + sign * step)) for sign in (1.0, -1.0)
        ]
        assert float(gradient[j]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


@every_metric
def test_influences_sum_to_zero_and_tell_what_a_heavier_image_changes(metric):
    drawn = pixels()
    found = measured(lambda w: WEIGHTED[metric](drawn, w), 60)
    assert found.target_influence.sum() == pytest.approx(0, abs=1e-12)
    heavier = torch.ones(60, dtype=torch.float64)
    heavier[torch.from_numpy(drawn["images"] == 2)] += 1e-5
    moved = (float(WEIGHTED[metric](drawn, heavier)) - found.value) / 1e-5
    assert found.target_influence[drawn["images"] == 2].sum() == pytest.approx(moved, abs=1e-4)


@pytest.mark.parametrize("metric", ["leep", "nce", "zero_shot_miou"])
def test_integer_weights_are_repeated_pixels(metric):
    drawn = pixels()
    times = np.random.default_rng(2).integers(1, 5, 60)
    repeated = {name: np.repeat(values, times, axis=0) for name, values in drawn.items()}
    weighted = float(WEIGHTED[metric](drawn, torch.from_numpy(times).double()))
    assert weighted == pytest.approx(PLAIN[metric](repeated), abs=1e-12)


@every_metric
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_pixels_does_not_matter(metric, seed):
    drawn = pixels(seed=seed)
    order = np.random.default_rng(seed + 100).permutation(60)
    shuffled = {name: values[order] for name, values in drawn.items()}
    assert PLAIN[metric](shuffled) == pytest.approx(PLAIN[metric](drawn), abs=1e-9)


@every_metric
def test_names_of_classes_and_images_do_not_matter(metric):
    drawn, plain = pixels(), PLAIN[metric](pixels())
    renamed = drawn | {"images": np.array([90, 2, -7, 4, 11])[drawn["images"]]}
    if metric != "zero_shot_miou":
        renamed["labels"] = np.array([7, 2, 900, 0])[drawn["labels"]]
    assert PLAIN[metric](renamed) == pytest.approx(plain, abs=1e-9)


@every_metric
def test_numpy_and_torch_of_any_type_give_the_same(metric):
    drawn = pixels()
    coarse = drawn | {name: drawn[name].astype(np.float32) for name in ("features", "theta")}
    as_torch = {name: torch.from_numpy(values) for name, values in coarse.items()}
    as_torch["labels"] = as_torch["labels"].to(torch.uint8)
    assert PLAIN[metric](as_torch) == PLAIN[metric](coarse)


@every_metric
@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (torch.ones(59, dtype=torch.float64), "one float64 weight a pixel"),
        (torch.ones(60), "one float64 weight a pixel"),
        (torch.zeros(60, dtype=torch.float64), "not positive"),
        (torch.full((60,), torch.inf, dtype=torch.float64), "not positive"),
        (torch.full((60,), torch.nan, dtype=torch.float64), "not positive"),
    ],
)
def test_weights_that_are_none_are_refused(metric, weights, said):
    with pytest.raises(DataError, match=said):
        WEIGHTED[metric](pixels(), weights)


@every_metric
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": np.zeros(59, int)}, "shape"),
        ({"labels": np.zeros(60)}, "integers"),
        ({"labels": np.zeros((60, 1), int)}, "shape"),
        (
            {"labels": np.zeros(0, int), "theta": np.zeros((0, 5)), "features": np.zeros((0, 5))},
            "at least one",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(metric, change, said):
    with pytest.raises(DataError, match=said):
        PLAIN[metric](pixels() | change)


@pytest.mark.parametrize("metric", ["knn", "nleep", "cc_fv"])
@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.full((60, 5), np.nan), "not finite"),
        (np.full((60, 5), np.inf), "not finite"),
        (np.ones((60, 5), complex), "real"),
        (np.ones(60), "shape"),
        (np.ones((60, 0)), "shape"),
    ],
)
def test_features_that_are_none_are_refused(metric, features, said):
    with pytest.raises(DataError, match=said):
        PLAIN[metric](pixels() | {"features": features})


@pytest.mark.parametrize("metric", ["knn", "nleep", "cc_fv"])
@pytest.mark.parametrize("scale", [1e-300, 1e-5, 3.0, 1e300])
def test_the_scale_of_features_does_not_matter(metric, scale):
    drawn = pixels()
    scaled = drawn | {"features": scale * drawn["features"]}
    assert PLAIN[metric](scaled) == pytest.approx(PLAIN[metric](drawn), abs=1e-9)


@pytest.mark.parametrize("metric", ["knn", "cc_fv"])
@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.full(60, 3), "at least two"),
        (np.zeros(59, int), "one image a pixel"),
        (np.zeros(60), "integers"),
    ],
)
def test_images_that_tell_nothing_apart_are_refused(metric, images, said):
    with pytest.raises(DataError, match=said):
        PLAIN[metric](pixels() | {"images": images})
