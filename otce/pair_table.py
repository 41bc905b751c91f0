"""The immutable table of one metric of one pair, from what its repetitions gave."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from otce import tables
from otce.config import RunConfig
from otce.identity import SCORE_VERSION, Signature, metric_recipe
from otce.recipe import Metric, preset_name

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
    full = [common | row | _no_influences() | {"repetition": k} for k, row in enumerate(rows)]
    full[0] |= _over_draws("target", rows) | _over_draws("source", rows)
    return tables.table(full, tables.PAIR)


def _no_influences() -> Row:
    sides = ("target", "source")
    return {f"{side}_{what}": [] for side in sides for what in ("items", "influence")}


def _over_draws(side: str, rows: Sequence[Row]) -> Row:
    """Average the influences of images over draws; an image without drawn pixels has none."""
    drawn = np.concatenate([np.array(row[f"{side}_items"], np.int64) for row in rows])
    sums = np.concatenate([np.array(row[f"{side}_influence"], np.float64) for row in rows])
    items, index = np.unique(drawn, return_inverse=True)
    means = np.zeros(len(items))
    np.add.at(means, index, sums / len(rows))
    return {f"{side}_items": items.tolist(), f"{side}_influence": means.tolist()}
