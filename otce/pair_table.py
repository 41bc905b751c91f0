"""The immutable tables of one metric of one pair, from what its repetitions gave."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from otce import tables
from otce.config import RunConfig
from otce.identity import SCORE_VERSION, Signature
from otce.metric_recipe import metric_recipe
from otce.recipe import Metric, preset_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = dict[str, Any]


def pair_columns(
    config: RunConfig,
    metric: Metric,
    *,
    fingerprint: str,
    model_id: str,
    side: Signature,
    target_id: str,
    target_digest: str,
) -> Row:
    """Say what all rows of a metric of a pair have in common.

    Args:
        config: the run.
        metric: which score.
        fingerprint: of this metric of the pair, or of its repetitions.
        model_id: the source model.
        side: its source side.
        target_id: the target data set.
        target_digest: its digest.

    Returns:
        Values by column.
    """
    # What a metric does not depend on says nothing about its rows.
    recipe = metric_recipe(metric, config.score)
    names = ("epsilon", "feature_scaling", "relaxation", "class_weights")
    settings = {name: recipe.get(name) for name in names}
    return settings | {
        "solver": recipe.get("solver"),
        "pair_fingerprint": fingerprint,
        "score_version": SCORE_VERSION,
        "metric": metric,
        "preset": preset_name(**{name: getattr(config.score, name) for name in names}),
        "source_model": model_id,
        "source_dataset": side.source,
        "target_dataset": target_id,
        "tap": side.tap,
        "model_digest": side.weights_digest,
        "source_digest": side.source_digest,
        "target_digest": target_digest,
        "seed": config.seed,
    }


def pair_rows(columns: Row, rows: Mapping[int, Row]) -> list[Row]:
    """Complete what repetitions of a metric of a pair gave.

    Args:
        columns: see `pair_columns`.
        rows: what repetitions gave, by their numbers.

    Returns:
        Rows of `otce.tables.PAIR` in order of repetitions, each with its own influences and parts:
        only so can any of them be joined later, see `whole_pair`.
    """
    return [columns | rows[k] | {"repetition": k} for k in sorted(rows)]


def whole_pair(fingerprint: str, rows: Sequence[Row]) -> pa.Table:
    """Make the table of a metric of a pair of all its repetitions.

    Influences and parts are averaged from those of single repetitions in their order, so it makes
    no difference to any byte which of them were scored together.

    Args:
        fingerprint: of this metric of the pair.
        rows: see `pair_rows`; all repetitions, in order.

    Returns:
        A table of `otce.tables.PAIR`, one row a repetition; the first holds the influences on the
        mean of all.
    """
    named = {"pair_fingerprint": fingerprint}
    full = [row | _NONE | named for row in rows]
    full[0] |= _over_draws("target", rows) | _over_draws("source", rows)
    full[0] |= {"parts": _parts_over_draws(rows)}
    return tables.table(full, tables.PAIR)


def unfinished_pair(fingerprint: str, rows: Sequence[Row]) -> pa.Table:
    """Make the table of a pair that left a race, from its rows wherever they are kept.

    A whole pair keeps the influences on the mean of all repetitions only, so an unfinished one has
    none: they are null, as unknown.

    Args:
        fingerprint: of the repetitions of this metric of the pair.
        rows: of `otce.tables.PAIR`, in order of repetitions.

    Returns:
        A table of `otce.tables.PAIR`.
    """
    unknown = dict.fromkeys(_NONE) | {"pair_fingerprint": fingerprint}
    return tables.table([row | unknown for row in rows], tables.PAIR)


_SIDES: Final = ("target", "source")
_NONE: Final[Row] = {f"{s}_{what}": [] for s in _SIDES for what in ("items", "influence")} | {
    "parts": []
}


def _over_draws(side: str, rows: Sequence[Row]) -> Row:
    """Average the influences of images over draws; an image without drawn pixels has none."""
    drawn = np.concatenate([np.array(row[f"{side}_items"], np.int64) for row in rows])
    sums = np.concatenate([np.array(row[f"{side}_influence"], np.float64) for row in rows])
    items, index = np.unique(drawn, return_inverse=True)
    means = np.zeros(len(items))
    np.add.at(means, index, sums / len(rows))
    return {f"{side}_items": items.tolist(), f"{side}_influence": means.tolist()}


def _parts_over_draws(rows: Sequence[Row]) -> list[Row]:
    """Average what parts cost; a part that a draw lacks costs nothing in it."""
    sums: dict[tuple[str, int], NDArray[np.float64]] = {}
    for row in rows:
        for part in row["parts"]:
            place = sums.setdefault((part["cut"], part["key"]), np.zeros(2))
            place += (part["share"], part["risk"])
    return [
        {"cut": cut, "key": key, "share": float(share), "risk": float(risk)}
        for (cut, key), total in sorted(sums.items())
        for share, risk in [total / len(rows)]
    ]
