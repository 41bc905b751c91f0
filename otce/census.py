"""What a data set holds: digests of its items, labelled pixels by class, and the drawn pixels.

Each function works on some items of a data set, so that many workers can share one.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import chain
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from otce.boundary import near_boundary
from otce.config import RunConfig
from otce.datasets import Dataset, Item
from otce.errors import DataError
from otce.fingerprint import canonical_json, digest
from otce.sampling import (
    Sample,
    digest_over_images,
    draw_images,
    draw_ranks,
    locate,
    pixels_to_draw,
)

_T = TypeVar("_T")
_SPELLED_OUT: Final = 4
_THREADS: Final = 4


def item_digests(dataset: Dataset, items: Sequence[Item]) -> list[tuple[str, str]]:
    """Hash the image and the label of items.

    Args:
        dataset: where they belong.
        items: some of its items.

    Returns:
        (image digest, label digest) of each.

    Raises:
        StoreError: an item cannot be read.
    """
    # A share of them for each thread: what is drawn takes less to hash than to hand over.
    size = max(1, -(-len(items) // _THREADS))
    shares = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        hashed = pool.map(lambda share: [dataset.digests(item) for item in share], shares)
        return list(chain.from_iterable(hashed))


def dataset_digest(dataset: Dataset, digests: Iterable[tuple[str, str]]) -> str:
    """Hash a whole data set: which items, with which content, labelled by which classes.

    Args:
        dataset: the data set.
        digests: digests of all its items, in order.

    Returns:
        64 hexadecimal digits; the same wherever the files lie.
    """
    content = [
        [item.id, image, label] for item, (image, label) in zip(dataset.items, digests, strict=True)
    ]
    return digest(canonical_json({"classes": dataset.classes, "items": content}).encode())


def count_labels(
    dataset: Dataset, items: Sequence[Item], digests: Sequence[tuple[str, str]] | None = None
) -> NDArray[np.int64]:
    """Count the labelled pixels of items, decoding images and labels once to see that they can be.

    Args:
        dataset: where they belong.
        items: some of its items.
        digests: see `item_digests`; an item that changed since is refused, for its counts would be
            kept under another's name.

    Returns:
        (items, classes) int64 pixel counts.

    Raises:
        DataError: lists every item that is corrupt, changed, has unknown ids or two sizes.
        StoreError: an item cannot be read.
    """
    expected = dict(zip(items, digests, strict=True)) if digests is not None else {}
    return np.stack(_all_or_errors(lambda item: _counted(dataset, item, expected.get(item)), items))


def _counted(dataset: Dataset, item: Item, expected: tuple[str, str] | None) -> NDArray[np.int64]:
    image_digest, label_digest = expected or (None, None)
    size_px, class_px = dataset.count(item, label_digest)
    image_px = dataset.image(item, image_digest).shape[:2]
    if image_px != size_px:
        raise DataError(
            f"{item.image} is {image_px[1]}x{image_px[0]} but its label is "
            f"{size_px[1]}x{size_px[0]}; nothing is resized silently, give both one size"
        )
    return class_px


def draw_pixels(
    dataset: Dataset,
    positions: range,
    labelled_px: NDArray[np.int64],
    *,
    pixels: int,
    repetitions: int,
    seed: int,
    digest_of_dataset: str,
    label_digests: Sequence[str] | None = None,
    images: float | None = None,
) -> Sample:
    """Draw all repetitions and find those pixels that fall on some items.

    Args:
        dataset: where they belong.
        positions: positions of the items in the data set.
        labelled_px: (all items,) labelled pixels of every item of the data set.
        pixels: pixels a repetition.
        repetitions: number of draws.
        seed: root seed of the run.
        digest_of_dataset: see `dataset_digest`.
        label_digests: (all items,) what their masks must still be; none: only their counts.
        images: share of the images that each repetition draws from, see `draw_images`; None: all,
            as the draws of a run.

    Returns:
        The drawn pixels of these items.

    Raises:
        DataError: a label changed since it was counted.
    """
    allowed_px = labelled_by_draw(
        labelled_px,
        images,
        repetitions=repetitions,
        seed=seed,
        digest_of_dataset=digest_of_dataset,
    )
    ends = np.cumsum(allowed_px, axis=1)
    key = digest_of_dataset if images is None else digest_over_images(digest_of_dataset, images)
    draws = [
        draw_ranks(int(ends[k, -1]), pixels, seed=seed, dataset_digest=key, repetition=k)
        for k in range(repetitions)
    ]
    starts = ends - allowed_px
    parts: list[Sample] = []
    for position in positions:
        windows = [
            draw[slice(*np.searchsorted(draw, (starts[k, position], ends[k, position])))]
            - starts[k, position]
            for k, draw in enumerate(draws)
        ]
        if any(window.size for window in windows):
            expected = label_digests[position] if label_digests is not None else None
            parts.append(_located(dataset, position, windows, int(labelled_px[position]), expected))
    return concatenated(parts)


def draw_settings(
    config: RunConfig,
    dataset_id: str,
    digest_of_dataset: str,
    labelled_px: NDArray[np.int64],
    *,
    heat: bool,
) -> dict[str, Any]:
    """Say how a data set is drawn, as keyword arguments of `draw_pixels`.

    Args:
        config: the run.
        dataset_id: id of the data set, for errors.
        digest_of_dataset: see `dataset_digest`.
        labelled_px: (all items,) labelled pixels of every item.
        heat: for the heats of a race, which all have equally many pixels: none where the images
            of one have fewer.

    Returns:
        Pixels, repetitions, the key of the draws, and for heats the share of images.

    Raises:
        DataError: fewer labelled pixels than a run allows.
    """
    key: dict[str, Any] = {"seed": config.seed, "digest_of_dataset": digest_of_dataset}
    sampling, race = config.sampling, config.race
    if not heat:
        pixels = pixels_to_draw(
            int(labelled_px.sum()),
            sampling.pixels,
            shrink=sampling.too_few_pixels == "shrink",
            where=f"data set {dataset_id}",
        )
        return key | {"pixels": pixels, "repetitions": sampling.repetitions}
    heats, wanted = sum(race.heats), max(1, round(race.heat_pixels * sampling.pixels))
    most = labelled_by_draw(labelled_px, race.heat_images, repetitions=heats, **key).sum(axis=1)
    pixels = wanted if most.min() >= wanted else 0
    return key | {"pixels": pixels, "repetitions": heats, "images": race.heat_images}


def labelled_by_draw(
    labelled_px: NDArray[np.int64],
    images: float | None,
    *,
    repetitions: int,
    seed: int,
    digest_of_dataset: str,
) -> NDArray[np.int64]:
    """Count the labelled pixels that each repetition draws from.

    Args:
        labelled_px: (all items,) labelled pixels of every item of the data set.
        images: share of the images of each repetition; None: all.
        repetitions: number of draws.
        seed: root seed of the run.
        digest_of_dataset: see `dataset_digest`.

    Returns:
        (repetitions, all items) pixels; 0 where a repetition does not look at an image. The
        smallest sum of a row is the most that every repetition can draw.

    Example:
        >>> labelled_by_draw(
        ...     np.array([5, 7]), None, repetitions=2, seed=0, digest_of_dataset="ab"
        ... ).tolist()
        [[5, 7], [5, 7]]
    """
    if images is None:
        return np.tile(labelled_px, (repetitions, 1))
    allowed_px = np.zeros((repetitions, len(labelled_px)), labelled_px.dtype)
    for k, row in enumerate(allowed_px):
        chosen = draw_images(
            labelled_px, images, seed=seed, dataset_digest=digest_of_dataset, repetition=k
        )
        row[chosen] = labelled_px[chosen]
    return allowed_px


def concatenated(parts: Iterable[Sample]) -> Sample:
    """Join drawn pixels of several items into the order of `Sample`.

    Args:
        parts: in order of items.

    Returns:
        All of them by repetition, item and pixel.
    """
    none = np.zeros(0, np.int32)
    all_ = [Sample(none, none, none, none, none, np.zeros(0, np.bool_)), *parts]
    joined = Sample(
        *(
            np.concatenate([getattr(part, column.name) for part in all_])
            for column in fields(Sample)
        )
    )
    return joined.take(np.argsort(joined.repetition, kind="stable"))


def _located(
    dataset: Dataset,
    position: int,
    windows: list[NDArray[np.int64]],
    labelled_px: int,
    expected_digest: str | None,
) -> Sample:
    """Find the pixels of all repetitions in one go through an item's mask."""
    item = dataset.items[position]
    class_ids = dataset.label(item, expected_digest)
    if int((class_ids >= 0).sum()) != labelled_px:
        raise DataError(
            f"{item.label}: changed since it was counted; run again when nobody writes to the data "
            "set"
        )
    y_px, x_px, label = locate(class_ids, np.concatenate(windows))
    sizes = [len(window) for window in windows]
    repetition = np.repeat(np.arange(len(windows), dtype=np.int32), sizes)
    item_of_pixel = np.full(len(label), position, np.int32)
    boundary = near_boundary(class_ids, y_px, x_px)
    return Sample(repetition, item_of_pixel, y_px, x_px, label, boundary)


def _all_or_errors(work: Callable[[Item], _T], items: Sequence[Item]) -> list[_T]:
    """Do all items, then tell every data error at once."""
    done: list[_T] = []
    problems: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(work, item) for item in items]
        for item, future in zip(items, futures, strict=True):
            try:
                done.append(future.result())
            except DataError as error:
                problems[item.id] = str(error)
    if problems:
        others = ", ".join(list(problems)[_SPELLED_OUT:])
        told = list(problems.values())[:_SPELLED_OUT] + [f"also refused: {others}"] * bool(others)
        raise DataError("; ".join(told))
    return done
