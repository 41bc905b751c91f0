"""The immutable table of one metric of one pair, from what its repetitions gave."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from otce import tables
from otce.config import RunConfig
from otce.identity import SCORE_VERSION, Signature, metric_recipe
from otce.recipe import Metric, preset_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = dict[str, Any]


def pair_table(
    config: RunConfig,
    metric: Metric,
    *,
    fingerprint: str,
    model_id: str,
    side: Signature,
    target_id: str,
    target_digest: str,
    rows: Sequence[Row],
) -> pa.Table:
    """Make the table of a metric of a pair.

    Args:
        config: the run.
        metric: which score.
        fingerprint: of this metric of the pair.
        model_id: the source model.
        side: its source side.
        target_id: the target data set.
        target_digest: its digest.
        rows: what each repetition gave, in their order; influences are of one repetition each.

    Returns:
        A table of `otce.tables.PAIR`, one row a repetition; the first holds the influences on the
        mean of all.
    """
    # What a metric does not depend on says nothing about its rows.
    recipe = metric_recipe(metric, config.score)
    names = ("epsilon", "feature_scaling", "relaxation", "class_weights")
    settings = {name: recipe.get(name) for name in names}
    common = settings | {
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
    full = [common | row | _of_no_draw() | {"repetition": k} for k, row in enumerate(rows)]
    full[0] |= _over_draws("target", rows) | _over_draws("source", rows)
    full[0] |= {"parts": _parts_over_draws(rows)}
    return tables.table(full, tables.PAIR)


def _of_no_draw() -> Row:
    sides = ("target", "source")
    lists: Row = {f"{side}_{what}": [] for side in sides for what in ("items", "influence")}
    return lists | {"parts": []}


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
