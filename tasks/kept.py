"""What the store holds of pairs: whole ones, and ranges of repetitions that a race left."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from otce import tables
from otce.intervals import Side
from otce.pair_table import whole_pair
from otce.repetitions import kept_repetitions
from otce.sides import sides_by_pair
from otce.storage.store import Store

_AT_ONCE: Final = 16


@dataclass(frozen=True)
class Kept:
    """What was there when the store was listed.

    Attributes:
        store: the store.
        whole: names of whole pairs.
        parts: names of the objects of some repetitions, by what they have in common.
    """

    store: Store
    whole: Collection[str]
    parts: Mapping[str, list[str]]

    @classmethod
    def listed(cls, store: Store) -> Self:
        """List a store.

        Args:
            store: the store.

        Returns:
            What it holds now.

        Raises:
            StoreError: it does not answer.
        """
        parts: dict[str, list[str]] = {}
        for name in _names(store, "repetitions"):
            parts.setdefault(name.partition(".")[0], []).append(name)
        return cls(store, set(_names(store, "scores")), parts)

    def missing(self, name: str, stem: str, wanted: range) -> list[range]:
        """Find the repetitions of a metric of a pair that are not kept.

        Args:
            name: fingerprint of the whole.
            stem: fingerprint of its repetitions.
            wanted: which are looked for.

        Returns:
            Ranges, ascending.
        """
        if name in self.whole:
            return []
        return kept_repetitions(self.parts.get(stem, ()), stem, wanted)[1]

    def read(self, name: str, stem: str, wanted: range) -> pa.Table:
        """Read kept repetitions of a metric of a pair.

        Args:
            name: fingerprint of the whole.
            stem: fingerprint of its repetitions.
            wanted: which; all must be kept.

        Returns:
            Rows of `otce.tables.PAIR`, in order of repetitions. Those of a whole pair do not hold
            the influences of single repetitions.

        Raises:
            StoreError: an object cannot be read, or is damaged.
        """
        if name in self.whole:
            return self._rows(f"scores/{name}", wanted)
        found, _ = kept_repetitions(self.parts.get(stem, ()), stem, wanted)
        return pa.concat_tables(
            self._rows(f"repetitions/{part}", span) for part, span in found.items()
        )

    def values(self, name: str, stem: str, wanted: range) -> list[float]:
        """Read the scores of kept repetitions.

        Args:
            name: as for `read`.
            stem: as for `read`.
            wanted: as for `read`.

        Returns:
            Scores in order of repetitions.

        Raises:
            StoreError: see `read`.
        """
        found: list[float] = self.read(name, stem, wanted)["value"].to_pylist()
        return found

    def join(self, name: str, stem: str, repetitions: int) -> None:
        """Put a whole pair together from its repetitions.

        Args:
            name: fingerprint of the whole.
            stem: fingerprint of its repetitions.
            repetitions: K; all must be kept.

        Raises:
            StoreError: an object cannot be read, or the store refuses.
        """
        rows = self.read(name, stem, range(repetitions)).to_pylist()
        self.store.put_table(f"scores/{name}.parquet", whole_pair(name, rows))

    def _rows(self, key: str, wanted: range) -> pa.Table:
        table = self.store.get_table(f"{key}.parquet", tables.PAIR)
        repetition = table["repetition"]
        inside = pc.and_(
            pc.greater_equal(repetition, wanted.start), pc.less(repetition, wanted.stop)
        )
        return table.filter(inside)


def _names(store: Store, folder: str) -> Iterable[str]:
    ending = ".parquet"
    return [n.removesuffix(ending) for n in store.names(folder) if n.endswith(ending)]


def kept_sides(names: Iterable[str], store: Store) -> dict[str, list[Side] | None]:
    """Read the images behind scores.

    Args:
        names: fingerprints of pair tables; those that are not kept are passed over.
        store: where they are kept.

    Returns:
        By fingerprint, as `otce.sides.known_sides` says.

    Raises:
        StoreError: the store does not answer, or a table is damaged.
        DataError: influences do not fit their images.
    """

    def read(name: str) -> dict[str, list[Side] | None]:
        key = f"scores/{name}.parquet"
        return sides_by_pair(store.get_table(key, tables.PAIR)) if store.exists(key) else {}

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return dict(one for found in pool.map(read, sorted(names)) for one in found.items())
