"""Features at drawn pixels only.

A feature is the value, at the centre of a label pixel, of the feature map resized bilinearly to
the label's size (`align_corners=False`); it is computed at drawn pixels and nowhere else, so what
is kept grows with the pixels drawn and not with the images.

Legend: `B` images, `D` feature dimensions, `H, W` label size, `h, w` map size, `n` drawn pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from otce.errors import ModelError

Pixels = NDArray[np.int32]
_Key = TypeVar("_Key")


Maps: TypeAlias = Callable[[Sequence[NDArray[np.uint8]]], tuple[Tensor, ...]]
"""Turns B images of one size into (B, D, h, w) maps, each with a D, h and w of its own."""


def features_at(
    map_Dhw: Tensor, y_px: Pixels, x_px: Pixels, label_size_px: tuple[int, int]
) -> Tensor:
    """Read a feature map at label pixels, as if it had been resized to the label's size.

    Args:
        map_Dhw: (D, h, w) feature map of one image.
        y_px: (n,) rows in the label mask.
        x_px: (n,) columns in the label mask.
        label_size_px: height and width of the label mask.

    Returns:
        (n, D) features, float32, on the map's device.

    Example:
        >>> import numpy as np
        >>> ramp = torch.arange(2.0).view(1, 1, 2)
        >>> features_at(ramp, np.zeros(4, int), np.arange(4), (1, 4)).flatten().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    low_y, high_y, part_y = neighbours(y_px, label_size_px[0], map_Dhw.shape[1])
    low_x, high_x, part_x = neighbours(x_px, label_size_px[1], map_Dhw.shape[2])
    flat_Dc = map_Dhw.flatten(1)
    wy, wx = (torch.from_numpy(part).to(map_Dhw) for part in (part_y, part_x))

    def cells(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
        at = torch.from_numpy(rows * map_Dhw.shape[2] + columns)
        return flat_Dc.index_select(1, at.to(map_Dhw.device))

    top_Dn = cells(low_y, low_x) * (1 - wx) + cells(low_y, high_x) * wx
    bottom_Dn = cells(high_y, low_x) * (1 - wx) + cells(high_y, high_x) * wx
    return (top_Dn * (1 - wy) + bottom_Dn * wy).T


def neighbours(
    position_px: NDArray[np.integer], label_px: int, map_px: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the two map cells around each label pixel's centre, along one side of the image.

    Args:
        position_px: (n,) rows or columns in the label mask.
        label_px: height or width of the label mask.
        map_px: height or width of the map.

    Returns:
        The first cell, the second, and the weight of the second, 0 where there is none.

    Example:
        >>> [side.tolist() for side in neighbours(np.array([0, 1, 3]), 4, 2)]
        [[0, 0, 1], [1, 1, 1], [0.0, 0.25, 0.0]]
    """
    centre = (position_px.astype(np.float64) + 0.5) * (map_px / label_px) - 0.5
    inside = np.clip(centre, 0, map_px - 1)
    low = np.floor(inside).astype(np.int64)
    return low, np.minimum(low + 1, map_px - 1), inside - low


def round_alike() -> None:
    """Set torch so that features do not depend on a card's taste for rounding.

    Neither TF32, nor which kernel won a race, may change a score.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def extract(
    model_id: str,
    maps: Maps,
    keys: Sequence[_Key],
    read: Callable[[_Key], NDArray[np.uint8]],
    pixels: Sequence[tuple[Pixels, Pixels]],
    *,
    batch_size: int,
    beside: Callable[[_Key, tuple[Tensor, ...]], object] | None = None,
) -> list[tuple[NDArray[np.float32], ...]]:
    """Run a model over images and keep the features of their drawn pixels.

    Decoding runs ahead in threads while the network works.

    Args:
        model_id: the source model, for errors.
        maps: what is taken of it, such as `otce.zoo.SourceModel.features`.
        keys: one per image.
        read: decodes the image of a key, (H, W, 3) uint8; its size is the label's size.
        pixels: rows and columns of the drawn pixels of each image.
        batch_size: most images a forward pass; halves while the device's memory is short.
        beside: is shown the key and the maps of each image, in order; those of a batch that was too
            much once more.

    Returns:
        Per image, in order, one (n, D) float32 array of each map.

    Raises:
        ModelError: features that are not finite, or no memory even for one image.
    """
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for batch in _batches(_read_ahead(read, keys, ahead=2 * batch_size), batch_size):
        end = len(rows) + len(batch)
        while len(rows) < end:
            images = batch[len(rows) - end :][:batch_size]
            some = slice(len(rows), len(rows) + len(images))
            found = _rows(model_id, maps, images, keys[some], pixels[some], beside)
            if found is None:
                batch_size = len(images) // 2
            else:
                rows += found
    return rows


def _rows(
    model_id: str,
    maps: Maps,
    images: list[NDArray[np.uint8]],
    keys: Sequence[_Key],
    pixels: Sequence[tuple[Pixels, Pixels]],
    beside: Callable[[_Key, tuple[Tensor, ...]], object] | None,
) -> list[tuple[NDArray[np.float32], ...]] | None:
    """Run one batch; None when it is too much for the memory. No map outlives this call."""
    try:
        found = []
        for image, maps_of_image, at_px, key in zip(
            images, zip(*maps(images), strict=True), pixels, keys, strict=True
        ):
            if beside is not None:
                beside(key, maps_of_image)
            found.append(
                tuple(
                    _finite(features_at(map_Dhw, *at_px, image.shape[:2]), model_id, key)
                    for map_Dhw in maps_of_image
                )
            )
        return found  # noqa: TRY300 - what follows is the recovery
    except (torch.OutOfMemoryError, MemoryError) as error:
        if len(images) == 1:
            height, width = images[0].shape[:2]
            raise ModelError(
                f"model {model_id}: no memory for one image of {width}x{height} pixels ({error}); "
                "set preprocessing.size_px or use a larger device"
            ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _finite(features_nD: Tensor, model_id: str, key: object) -> NDArray[np.float32]:
    values: NDArray[np.float32] = features_nD.cpu().numpy()
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise ModelError(
            f"model {model_id}: {bad} of {values.size} feature values of {key} are not finite; "
            "check the weights and the preprocessing"
        )
    return values


def _batches(
    images: Iterable[NDArray[np.uint8]], batch_size: int
) -> Iterator[list[NDArray[np.uint8]]]:
    """Group neighbours of one size, at most `batch_size` together."""
    for _, group in groupby(images, key=lambda image: image.shape):
        batch: list[NDArray[np.uint8]] = []
        for image in group:
            batch.append(image)
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch


def _read_ahead(
    read: Callable[[_Key], NDArray[np.uint8]], keys: Sequence[_Key], *, ahead: int
) -> Iterator[NDArray[np.uint8]]:
    """Decode in threads, at most `ahead` images before they are needed."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting = [pool.submit(read, key) for key in keys[:ahead]]
        for index in range(len(keys)):
            image = waiting.pop(0).result()
            if index + ahead < len(keys):
                waiting.append(pool.submit(read, keys[index + ahead]))
            yield image
