"""Values of label masks to class ids, by one lookup."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
from numpy.typing import NDArray

from otce.errors import DataError
from otce.fingerprint import fingerprint

VOID: Final = -1
"""Class id of an ignored pixel."""

_UNKNOWN: Final = -2
_LABEL_VALUES: Final = 1 << 16


class LabelRule:
    """Mask values to class ids by one lookup table, so that no mapping can follow another.

    Args:
        classes: class names; class ids are their positions.
        ignore: mask values (or values of `label_map`) that are no class.
        label_map: mask value to class id; when given, values it leaves out are refused.

    Attributes:
        fingerprint: of the rule; equal bytes under another rule are another label.
    """

    def __init__(
        self, classes: Sequence[str], ignore: AbstractSet[int], label_map: Mapping[int, int]
    ) -> None:
        self.fingerprint = fingerprint([classes, ignore, label_map])
        self._allowed = f"0..{len(classes) - 1}" if not label_map else str(sorted(label_map))
        self._ignore = sorted(ignore)
        self._n_classes = len(classes)
        identity = {value: value for value in range(len(classes))}
        self._table = np.full(_LABEL_VALUES, _UNKNOWN, dtype=np.int16)
        for value, class_id in (label_map or identity).items():
            self._table[value] = VOID if class_id in ignore else class_id
        for value in ignore:
            if 0 <= value < _LABEL_VALUES:
                self._table[value] = VOID

    def class_ids(self, raw: NDArray[np.unsignedinteger], where: str) -> NDArray[np.int16]:
        """Look every pixel up.

        Args:
            raw: (H, W) uint8 or uint16 mask values.
            where: what to call the mask in errors.

        Returns:
            (H, W) int16 class ids, -1 where ignored.

        Raises:
            DataError: a value is neither a class nor ignored; the most frequent one is named.
        """
        ids: NDArray[np.int16] = np.take(self._table, raw)
        if (ids == _UNKNOWN).any():
            self.class_px(np.bincount(raw.reshape(-1)), where)
        return ids

    def class_px(self, value_px: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        """Sum pixels of mask values to pixels of classes.

        Args:
            value_px: (values,) pixels of each mask value from 0, at most 65 536 of them.
            where: what to call the mask in errors.

        Returns:
            (classes,) int64 pixels, ignored ones left out.

        Raises:
            DataError: a value is neither a class nor ignored; the most frequent one is named.
        """
        ids = self._table[: len(value_px)]
        unknown_px = np.where(ids == _UNKNOWN, value_px, 0)
        if unknown_px.any():
            value = int(unknown_px.argmax())
            raise DataError(
                f"{where}: label id {value} ({unknown_px[value]} pixels) is outside "
                f"{self._allowed} and is not ignored (ignore: {self._ignore}); add it to label_map "
                "or to ignore"
            )
        counts = np.zeros(self._n_classes, np.int64)
        np.add.at(counts, ids[ids >= 0], value_px[ids >= 0])
        return counts
