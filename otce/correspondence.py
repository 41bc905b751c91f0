"""Which source classes serve which target classes, and what each target class costs.

S source classes, T target classes, K repetitions. Read from the joint P(Y_s, Y_t) of one pair.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correspondence:
    """The label correspondence of one model on one target, averaged over repetitions."""

    source_classes: tuple[str, ...]
    """Names, in the order of the class ids."""
    target_classes: tuple[str, ...]
    """Names, in the order of the class ids."""
    served: Floats
    """(T, S), P(source class | target class); rows sum to 1."""
    share: Floats
    """(T,), P(target class)."""
    lost_nats: Floats
    """(T,), each target class's part of H(Y_t | Y_s); the parts add up to it."""

    def served_by(self, target: int, *, enough: float = 0.9) -> list[tuple[str, float]]:
        """List the source classes that serve a target class, the largest first.

        Args:
            target: position of the target class.
            enough: share of the target class after which the list ends.

        Returns:
            Names and shares of at most three classes.
        """
        served = self.served[target]
        largest = np.argsort(-served, kind="stable")[:3]
        before = np.cumsum(served[largest]) - served[largest]
        return [
            (self.source_classes[source], float(served[source]))
            for source, covered in zip(largest, before, strict=True)
            if covered < enough
        ]

    def frequent_sources(self, limit: int) -> list[int]:
        """List the positions of the most frequent source classes, in the order of their ids."""
        return sorted(_largest(self.share @ self.served)[:limit])

    def frequent_targets(self, limit: int) -> list[int]:
        """List the positions of the most frequent target classes, in the order of their ids."""
        return sorted(_largest(self.share)[:limit])

    def targets_by_cost(self) -> list[int]:
        """List the positions of the target classes, the one that costs most first."""
        return _largest(self.lost_nats)


def _largest(values: Floats) -> list[int]:
    return [int(place) for place in np.argsort(-values, kind="stable")]


def correspondence(joints: pa.Table) -> Correspondence:
    """Average one pair's joints over its repetitions.

    Args:
        joints: rows of one pair, of schema `otce.tables.JOINTS`; classes that a repetition lacks
            have probability 0 in it.

    Returns:
        The correspondence; target classes that were never drawn are left out.

    Example:
        >>> from otce.tables import JOINTS, table
        >>> row = dict.fromkeys(JOINTS.names) | {"repetition": 0, "target_class": 0}
        >>> row |= {"target_class_name": "lane"}
        >>> road = row | {"source_class": 0, "source_class_name": "road", "probability": 0.93}
        >>> grass = row | {"source_class": 1, "source_class_name": "grass", "probability": 0.07}
        >>> correspondence(table([road, grass], JOINTS)).served_by(0)
        [('road', 0.93)]
    """
    sources, source_names = _classes(joints, "source_class")
    targets, target_names = _classes(joints, "target_class")
    repetitions, repetition = np.unique(joints["repetition"], return_inverse=True)
    joint_KST = np.zeros((len(repetitions), len(source_names), len(target_names)))
    np.add.at(joint_KST, (repetition, sources, targets), joints["probability"].to_numpy())
    return averaged(joint_KST, source_names, target_names)


def averaged(
    joint_KST: Floats, source_names: tuple[str, ...], target_names: tuple[str, ...]
) -> Correspondence:
    """Average joints over repetitions.

    Args:
        joint_KST: (K, S, T) P(Y_s, Y_t) of each repetition, each sums to 1.
        source_names: of the rows.
        target_names: of the columns.

    Returns:
        The correspondence; target classes that were never drawn are left out.
    """
    joint_ST = joint_KST.mean(axis=0)
    drawn = joint_ST.sum(axis=0) > 0
    share_T = joint_ST.sum(axis=0)[drawn]
    return Correspondence(
        source_classes=source_names,
        target_classes=tuple(np.array(target_names, dtype=object)[drawn]),
        served=(joint_ST[:, drawn] / share_T).T,
        share=share_T,
        lost_nats=_lost_nats(joint_KST).mean(axis=0)[drawn],
    )


def _classes(joints: pa.Table, side: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Number the classes of a side by their ids."""
    ids, first, position = np.unique(joints[side], return_index=True, return_inverse=True)
    names = joints[f"{side}_name"]
    return position, tuple(
        names[int(row)].as_py() or f"class {number}" for number, row in zip(ids, first, strict=True)
    )


def _lost_nats(joint_KST: Floats) -> Floats:
    source_KS1 = joint_KST.sum(axis=2, keepdims=True)
    given_source = np.divide(
        joint_KST, source_KS1, out=np.ones_like(joint_KST), where=joint_KST > 0
    )
    return np.asarray(-(joint_KST * np.log(given_source)).sum(axis=1))
