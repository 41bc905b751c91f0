"""A data set as it can be read: listed, hashed, without the corrupt items that may be left out.

A data set with an item left out is the data set that never had it: the items that stay give the
digest, and the digest names every object.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from otce.census import dataset_digest, item_digests
from otce.dataset_config import DatasetConfig, ImageFiles
from otce.datasets import Dataset, Item, open_dataset
from otce.datasets.items import listing
from otce.errors import CorruptDataError, DataError
from otce.storage.files import StorageOptions

_SPELLED_OUT: Final = 4


@dataclass(frozen=True)
class Readable:
    """A data set without the items that are left out.

    Attributes:
        dataset: opened; its items are those that stay.
        digests: (image digest, label digest) of each of them.
        digest: of the whole.
        left_out: what is wrong with each other item, by id.
        notes: everything that was left out, in words.
    """

    dataset: Dataset
    digests: list[tuple[str, str]]
    digest: str
    left_out: dict[str, str]
    notes: tuple[str, ...]


def open_readable(
    id_: str, config: DatasetConfig, options: StorageOptions | None = None
) -> Readable:
    """Open, list and hash a data set, and leave out corrupt items if the configuration says so.

    Nothing is decoded where none may be left out: there, corrupt items are errors when counted.

    Args:
        id_: its id, for errors.
        config: one data set of the configuration.
        options: fsspec options by protocol.

    Returns:
        The data set and what it lacks.

    Raises:
        DataError: it cannot be listed, more than `max_bad_items` are corrupt, or all of them, or it
            is pinned to another digest.
        StoreError: an item cannot be read.
    """
    dataset = open_dataset(config, options)
    most = config.max_bad_items if isinstance(config, ImageFiles) else 0
    bad = _corrupt(dataset) if most else {}
    notes = dataset.notes
    if bad:
        dataset = _without(dataset, bad, most, config, options)
        notes = (*notes, f"{len(bad)} corrupt items left out: {', '.join(bad)}")
    digests = item_digests(dataset, dataset.items)
    found = dataset_digest(dataset, digests)
    if config.digest not in (None, found):
        raise DataError(
            f"data set {id_} has digest {found}, not the declared {config.digest}: files, classes "
            "or label rules changed; restore them, or change digest if they are meant to be so"
        )
    return Readable(dataset, digests, found, bad, notes)


def _without(
    dataset: Dataset,
    bad: dict[str, str],
    most: int,
    config: DatasetConfig,
    options: StorageOptions | None,
) -> Dataset:
    total = len(dataset.items)
    if len(bad) > most or len(bad) == total:
        told = "; ".join(list(bad.values())[:_SPELLED_OUT])
        raise DataError(
            f"{len(bad)} of {total} items are corrupt and max_bad_items is {most}: "
            f"{listing(list(bad))}; {told}; replace the files, or raise max_bad_items when "
            "fewer items will do"
        )
    return open_dataset(config, options, [item for item in dataset.items if item.id not in bad])


def _corrupt(dataset: Dataset) -> dict[str, str]:
    """What is wrong with each corrupt item, by id."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        problems = pool.map(lambda item: _problem(dataset, item), dataset.items)
        paired = zip(dataset.items, problems, strict=True)
        return {item.id: problem for item, problem in paired if problem is not None}


def _problem(dataset: Dataset, item: Item) -> str | None:
    """What is corrupt; whatever else may be wrong is told when the items that stay are counted."""
    try:
        dataset.count(item)
        dataset.image(item)
    except CorruptDataError as error:
        return str(error)
    except DataError:
        return None
    return None
