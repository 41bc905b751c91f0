"""Items whose files are corrupt: errors, or left out as far as the configuration lets them be.

A data set with an item left out is the data set that never had it: the items that stay give the
digest, and the digest names every object.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from otce.dataset_config import DatasetConfig, ImageFiles
from otce.datasets import Dataset, Item, open_dataset
from otce.datasets.items import listing
from otce.errors import CorruptDataError, DataError
from otce.files import StorageOptions

_SPELLED_OUT: Final = 4


@dataclass(frozen=True)
class Readable:
    """A data set without the items that are left out.

    Attributes:
        dataset: opened; its items are those that stay.
        left_out: what is wrong with each other item, by id.
        notes: everything that was left out, in words.
    """

    dataset: Dataset
    left_out: dict[str, str]
    notes: tuple[str, ...]


def open_readable(config: DatasetConfig, options: StorageOptions | None = None) -> Readable:
    """Open and list a data set, and leave its corrupt items out if the configuration says so.

    Nothing is decoded where none may be left out: there, corrupt items are errors when counted.

    Args:
        config: one data set of the configuration.
        options: fsspec options by protocol.

    Returns:
        The data set and what it lacks.

    Raises:
        DataError: it cannot be listed, more than `max_bad_items` are corrupt, or all of them.
        StoreError: an item cannot be read.
    """
    dataset = open_dataset(config, options)
    most = config.max_bad_items if isinstance(config, ImageFiles) else 0
    bad = _corrupt(dataset) if most else {}
    if not bad:
        return Readable(dataset, {}, dataset.notes)
    total = len(dataset.items)
    if len(bad) > most or len(bad) == total:
        told = "; ".join(list(bad.values())[:_SPELLED_OUT])
        raise DataError(
            f"{len(bad)} of {total} items are corrupt and max_bad_items is {most}: "
            f"{listing(list(bad))}; {told}; replace the files, or raise max_bad_items when "
            "fewer items will do"
        )
    items = [item for item in dataset.items if item.id not in bad]
    note = f"{len(bad)} corrupt items left out: {', '.join(bad)}"
    return Readable(open_dataset(config, options, items), bad, (*dataset.notes, note))


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
