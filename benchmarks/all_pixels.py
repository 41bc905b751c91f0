"""Sums over all labelled pixels of one image: off the map, against pixel by pixel.

    OMP_NUM_THREADS=1 python benchmarks/all_pixels.py

An image of 720 x 960 labelled pixels and 11 classes. The peer interpolates the features of every
pixel and sums those, 2^16 pixels at a time. Medians of `--repeats`; scores of both are compared.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce.dense import map_confusion, map_moments
from otce.features import features_at
from otce.scores.logme import logme_of_moments
from otce.scores.moments import Moments, merged, pixels_moments

LABEL_PX: Final = (720, 960)
N_CLASSES: Final = 11
SHAPES: Final = ((16, 2), (64, 4), (256, 8), (768, 8))
"""Feature dimensions and stride."""
AT_ONCE: Final = 1 << 16


def pixel_by_pixel(map_Dhw: Tensor, labels: NDArray[np.int16]) -> Moments:
    y_px, x_px = (side.astype(np.int32) for side in np.nonzero(labels >= 0))
    parts = []
    for start in range(0, len(y_px), AT_ONCE):
        at_px = y_px[start : start + AT_ONCE], x_px[start : start + AT_ONCE]
        features_nD = features_at(map_Dhw, *at_px, LABEL_PX).double().numpy()
        parts.append(pixels_moments(features_nD, labels[at_px], N_CLASSES))
    return merged(parts)


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    seconds_s = []
    for _ in range(repeats):
        start_s = perf_counter()
        found = work()
        seconds_s.append(perf_counter() - start_s)
    return median(seconds_s), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    # Regions of 40 x 40 pixels: boundaries as in street scenes.
    regions = generator.integers(-1, N_CLASSES, [side // 40 for side in LABEL_PX])
    labels = regions.repeat(40, axis=0).repeat(40, axis=1).astype(np.int16)
    print(f"{int((labels >= 0).sum())} labelled pixels, one thread")
    for n_dims, stride_px in SHAPES:
        map_Dhw = torch.from_numpy(
            generator.normal(size=(n_dims, *(side // stride_px for side in LABEL_PX)))
        ).float()
        own_s, own = timed(lambda m=map_Dhw: map_moments(m, labels, N_CLASSES), repeats)
        peer_s, peer = timed(lambda m=map_Dhw: pixel_by_pixel(m, labels), 1)
        apart = abs(logme_of_moments(own) - logme_of_moments(peer))
        print(
            f"D {n_dims:4}, stride {stride_px}: {own_s:6.2f} s, pixel by pixel {peer_s:6.2f} s, "
            f"{peer_s / own_s:5.1f} times; LogME apart by {apart:.0e} nats"
        )
    logits_Zhw = torch.randn(N_CLASSES, *(side // 4 for side in LABEL_PX))
    count_s, _ = timed(lambda: map_confusion(logits_Zhw, labels, N_CLASSES), repeats)
    print(f"predictions of {N_CLASSES} classes at every pixel: {count_s:.2f} s")


if __name__ == "__main__":
    main()
