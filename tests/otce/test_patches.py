"""Patch-wise maps: the score of each patch, and NaN where there is none."""

import numpy as np
import pytest
import torch

from otce import score_pixels
from otce.patches import PlacedPixels, means, patch_map, placed, pooled
from tests.drawn import clouds


def spread(seed, n=60):
    """Pixels of a cloud placed at random."""
    draw = clouds(seed, n=n, m=n)
    generator = np.random.default_rng(seed)
    source, target = (
        PlacedPixels(features, labels, generator.random(n), generator.random(n))
        for features, labels in ((draw.source_ND, draw.source_y), (draw.target_MD, draw.target_y))
    )
    return source, target


def test_every_patch_has_the_score_of_its_pixels():
    source, target = spread(1)
    found = patch_map(source, target, rows=2, columns=1, relaxation="source")
    for row in range(2):
        some, others = ((side.y * 2).astype(int) == row for side in (source, target))
        score = score_pixels(
            source.features[some],
            source.labels[some],
            target.features[others],
            target.labels[others],
            relaxation="source",
        )
        assert found.risk_RC[row, 0] == -score.otce
        assert found.normalized_RC[row, 0] == score.normalized
    assert found.mask_RC.all()


def test_patches_without_enough_pixels_or_with_one_class_are_nan_and_not_perfect():
    source, target = spread(2)
    one_class = np.where(target.x < 0.5, 0, target.labels)
    few = target.x < 0.9
    target = PlacedPixels(target.features[few], one_class[few], target.y[few], target.x[few])
    found = patch_map(source, target, rows=1, columns=10)
    count = np.bincount((target.x * 10).astype(int), minlength=10)
    assert not found.mask_RC[0, 9]
    assert not found.mask_RC[0, :5].any()
    assert not found.mask_RC[0, count < 5].any()
    np.testing.assert_array_equal(np.isnan(found.risk_RC), ~found.mask_RC)
    np.testing.assert_array_equal(np.isnan(found.normalized_RC), ~found.mask_RC)


def test_images_of_different_sizes_meet_at_relative_positions():
    map_Dhw = torch.arange(6.0).reshape(1, 2, 3)
    label = np.array([[0, 1, 2], [3, -1, 5]])
    small = placed(map_Dhw, label)
    assert small.features[:, 0].tolist() == [0, 1, 2, 3, 5]
    assert small.labels.tolist() == [0, 1, 2, 3, 5]
    large = placed(map_Dhw, label.repeat(2, axis=0).repeat(2, axis=1), every_px=2)
    assert large.labels.tolist() == small.labels.tolist()
    both = pooled([small, large])
    patch = np.floor(both.y * 2) * 3 + np.floor(both.x * 3)
    np.testing.assert_array_equal(patch[:5], patch[5:])


def test_means_are_held_against_the_pixels_of_each_patch():
    generator = np.random.default_rng(3)
    risk_HW = np.where(generator.random((6, 8)) < 0.3, np.nan, generator.random((6, 8)))
    risk_HW[:3, :4] = np.nan
    found = means(risk_HW, 2, 2)
    assert np.isnan(found[0, 0])
    for row, column in ((0, 1), (1, 0), (1, 1)):
        part = risk_HW[3 * row : 3 * row + 3, 4 * column : 4 * column + 4]
        assert found[row, column] == pytest.approx(np.nanmean(part))
