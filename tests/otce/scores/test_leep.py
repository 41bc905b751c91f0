"""LEEP against its definition, its bounds and its symmetries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.errors import DataError
from otce.scores.leep import leep


def defined(theta, labels):
    """Equation 3 of the paper, pixel by pixel."""
    joint = {y: sum(theta[i] for i in range(len(labels)) if labels[i] == y) for y in labels}
    total = sum(joint.values())
    logs = [
        math.log(sum(joint[y][z] / total[z] * p[z] for z in range(len(p)) if total[z] > 0))
        for p, y in zip(theta, labels, strict=True)
    ]
    return sum(logs) / len(logs)


@st.composite
def drawn(draw):
    n, classes = draw(st.integers(1, 20)), draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    peaked = draw(st.sampled_from([0.05, 1.0, 20.0]))
    return generator.dirichlet(np.full(classes, peaked), n), generator.integers(0, 4, n)


@given(drawn())
def test_it_is_what_the_paper_defines(made):
    assert leep(*made) == pytest.approx(defined(*made), abs=1e-9)


@given(drawn())
def test_it_lies_between_minus_the_label_entropy_and_zero(made):
    shares = np.unique(made[1], return_counts=True)[1] / len(made[1])
    assert (shares * np.log(shares)).sum() - 1e-9 <= leep(*made) <= 1e-12


@given(drawn(), st.integers(0, 2**32))
def test_neither_order_nor_names_of_classes_matter(made, seed):
    theta, labels = made
    generator = np.random.default_rng(seed)
    order, columns = generator.permutation(len(labels)), generator.permutation(theta.shape[1])
    renamed = np.array([7, 2, 9, 0])[labels[order]]
    assert leep(theta[order][:, columns], renamed) == pytest.approx(leep(theta, labels), abs=1e-9)


def test_certain_predictions_that_tell_the_label_score_zero():
    labels = np.array([3, 1, 3, 0])
    assert leep(np.eye(4)[labels], labels) == 0.0


def test_predictions_that_say_nothing_score_minus_the_label_entropy():
    score = leep(np.full((4, 3), 1 / 3), np.array([0, 1, 0, 1]))
    assert score == pytest.approx(-math.log(2), abs=1e-12)


def test_a_source_class_without_mass_does_not_count():
    theta = np.array([[0.9, 0.0, 0.1], [0.2, 0.0, 0.8]])
    assert leep(theta, np.array([0, 1])) == leep(theta[:, [0, 2]], np.array([0, 1]))


@pytest.mark.parametrize(
    ("theta", "labels", "said"),
    [
        (np.ones((2, 2)), np.array([0, 1]), "softmax"),
        (np.array([[1.5, -0.5]]), np.array([0]), "smallest value is -0.5"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "no probabilities"),
        (np.full((2, 2), 0.5), np.array([0]), "shape"),
        (np.full((0, 2), 0.5), np.zeros(0, int), "at least one"),
        (np.full((2, 2), 0.5), np.array([0.0, 1.0]), "integers"),
    ],
)
def test_what_is_no_distribution_is_refused(theta, labels, said):
    with pytest.raises(DataError, match=said):
        leep(theta, labels)
