"""What features and labels must be before any score of them is taken."""

import numpy as np
import pytest
import torch

from otce.errors import DataError
from otce.scores.labelled import labelled

RIGHT = np.array([[0.0], [1.0], [2.0]])


@pytest.mark.parametrize("of", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_classes_are_numbered_by_their_ids_and_features_are_float64(of, dtype):
    features_nD, index_n = labelled(of(RIGHT.astype(dtype)), of(np.array([255, -3, 255])))
    assert features_nD.dtype == torch.float64
    assert features_nD.tolist() == RIGHT.tolist()
    assert index_n.dtype == torch.int64
    assert index_n.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        (RIGHT, [0, 1], r"target features have shape \(3, 1\) and labels \(2,\)"),
        (RIGHT[:, 0], [0, 1, 1], r"expected \(N, D\) and \(N,\)"),
        (RIGHT[:0], [], "at least one pixel"),
        (RIGHT, [0.0, 1.0, 1.0], "target labels are torch.float32; expected integers"),
        (RIGHT, [True, False, False], "target labels are torch.bool"),
        (RIGHT * 1j, [0, 1, 1], "expected real numbers"),
        ([[np.nan], [1.0], [np.inf]], [0, 1, 1], "2 of 3 target feature values are not finite"),
        (RIGHT * 1e100, [0, 1, 1], r"magnitude 2e\+100, at most 1e\+100"),
        (RIGHT, [4, 4, 4], "all 3 target pixels have the label 4"),
        (RIGHT, [4, 5, 6], "3 target pixels have 3 labels; at least one class must have two"),
    ],
)
def test_what_cannot_be_scored_is_refused(features, labels, said):
    with pytest.raises(DataError, match=said):
        labelled(features, labels)
