"""NCE against its definition and its relation to LEEP."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otce.scores.leep import leep
from otce.scores.nce import nce


def defined(theta, labels):
    """Minus the conditional entropy, cell by cell."""
    predicted = [max(range(len(p)), key=lambda z: p[z]) for p in theta]
    n, total = len(labels), 0.0
    for z in set(predicted):
        rows = [y for y, predicted_z in zip(labels, predicted, strict=True) if predicted_z == z]
        for y in set(rows):
            total += rows.count(y) / n * math.log(rows.count(y) / len(rows))
    return total


@st.composite
def drawn(draw):
    n, classes = draw(st.integers(1, 20)), draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return generator.dirichlet(np.full(classes, 0.5), n), generator.integers(0, 4, n)


@given(drawn())
def test_it_is_minus_the_conditional_entropy(made):
    theta, labels = made
    assert nce(theta, labels) == pytest.approx(defined(theta, labels.tolist()), abs=1e-12)


@given(drawn())
def test_it_lies_between_minus_the_label_entropy_and_zero(made):
    shares = np.unique(made[1], return_counts=True)[1] / len(made[1])
    assert (shares * np.log(shares)).sum() - 1e-12 <= nce(*made) <= 0


@given(drawn())
def test_it_is_leep_where_predictions_are_certain(made):
    theta, labels = made
    certain = np.eye(theta.shape[1])[theta.argmax(1)]
    assert nce(certain, labels) == pytest.approx(leep(certain, labels), abs=1e-12)
    assert nce(theta, labels) == nce(certain, labels)


def test_of_equal_probabilities_the_first_class_counts():
    labels = np.array([0, 1])
    assert nce(np.array([[0.5, 0.5], [0.0, 1.0]]), labels) == 0
    assert nce(np.array([[0.5, 0.5], [1.0, 0.0]]), labels) == pytest.approx(-math.log(2))


def test_a_single_label_scores_zero():
    assert nce(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([3, 3])) == 0.0
