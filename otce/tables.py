"""Schemas of everything that is kept: tidy, fixed types, units and direction in the metadata.

A column may be added within a major version and never changes its type or meaning; one that was is
marked `later` in its metadata and is null in files written before it. Scores are in nats; `otce`
is at most 0 and higher is better.
"""

from typing import Any, Final

import pyarrow as pa

SCHEMA_VERSION: Final = 1


def _column(
    name: str,
    kind: pa.DataType,
    meaning: str,
    *,
    unit: str = "",
    direction: str = "",
    later: str = "",
) -> pa.Field:
    metadata = {"meaning": meaning, "unit": unit, "direction": direction, "later": later}
    return pa.field(name, kind, metadata={k: v for k, v in metadata.items() if v})


def _schema(kind: str, *columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION), "otce.table": kind})


_TEXT, _INT, _NUMBER = pa.string(), pa.int32(), pa.float64()
_LATER: Final = "absent from files written before it was added, and null there"

COUNTS: Final = _schema(
    "counts",
    _column("dataset_digest", _TEXT, "digest of the data set's items, classes and label rules"),
    _column("item", _INT, "position of the image in the data set, from 0"),
    _column("item_id", _TEXT, "id of the image"),
    _column("class_px", pa.list_(pa.int64()), "labelled pixels of each class id", unit="px"),
)
"""The label census of a data set: a row per image."""

SAMPLES: Final = _schema(
    "samples",
    _column("dataset_digest", _TEXT, "digest of the data set's items, classes and label rules"),
    _column("repetition", _INT, "which draw, from 0"),
    _column("item", _INT, "position of the image in the data set, from 0"),
    _column("item_id", _TEXT, "id of the image"),
    _column("y_px", _INT, "row of the pixel in the label mask, from 0", unit="px"),
    _column("x_px", _INT, "column of the pixel in the label mask, from 0", unit="px"),
    _column("label", _INT, "class id of the pixel"),
    _column(
        "boundary",
        pa.bool_(),
        "whether a pixel of another class is at most 2 px away",
        later=_LATER,
    ),
)

_PART: Final = pa.struct(
    [
        pa.field("cut", _TEXT),
        pa.field("key", _INT),
        pa.field("share", _NUMBER),
        pa.field("risk", _NUMBER),
    ]
)
_SCORE_COLUMNS: Final = (
    _column("pair_fingerprint", _TEXT, "fingerprint of everything that can change these numbers"),
    _column("score_version", _INT, "version of the definition of the score"),
    _column("metric", _TEXT, "which score"),
    _column("preset", _TEXT, "name of the recipe: default, paper or custom"),
    _column("source_model", _TEXT, "id of the source model"),
    _column("source_dataset", _TEXT, "id of the data set the model was trained on"),
    _column("target_dataset", _TEXT, "id of the target data set"),
    _column("tap", _TEXT, "features: head, logits or a module path"),
    _column("model_digest", _TEXT, "SHA-256 of the weights file"),
    _column("source_digest", _TEXT, "digest of the source data set"),
    _column("target_digest", _TEXT, "digest of the target data set"),
    _column("repetition", _INT, "which draw, from 0"),
    _column("seed", pa.int64(), "root seed of the run"),
    _column("otce", _NUMBER, "-H(target label | source label)", unit="nats", direction="higher"),
    _column("conditional_entropy", _NUMBER, "H(Y_t | Y_s)", unit="nats", direction="lower"),
    _column("target_entropy", _NUMBER, "H(Y_t), the largest H(Y_t | Y_s) can be", unit="nats"),
    _column("normalized", _NUMBER, "1 - H(Y_t | Y_s) / H(Y_t), 0 to 1", direction="higher"),
    _column("transport_cost", _NUMBER, "<C, plan>", unit="scaled squared feature distance"),
    _column("epsilon", _NUMBER, "entropic regularisation", unit="scaled squared feature distance"),
    _column("feature_scaling", _TEXT, "standardize, softmax, l2 or none"),
    _column("relaxation", _TEXT, "free marginal of the coupling: none (paper) or source"),
    _column("class_weights", _TEXT, "weighting of pixels by class; uniform is the paper's"),
    _column("solver", _TEXT, "transport solver"),
    _column("marginal_error", _NUMBER, "L1 error of the coupling's marginals", direction="lower"),
    _column("n_iter", _INT, "solver iterations; 0 for solvers without"),
    _column("converged", pa.bool_(), "whether the error is within the tolerance; always true"),
    _column("n_source_px", _INT, "source pixels used", unit="px"),
    _column("n_target_px", _INT, "target pixels used", unit="px"),
    _column("n_source_classes", _INT, "classes among the source pixels"),
    _column("n_target_classes", _INT, "classes among the target pixels"),
    _column("feature_dim", _INT, "dimension of the features"),
    _column("degenerate", _TEXT, "none, or the side (source, target) that has a single class"),
    _column(
        "curve_epsilon",
        pa.list_(_NUMBER),
        "epsilons at which the first draw was scored as well, ascending; empty for other draws",
        unit="scaled squared feature distance",
        later=_LATER,
    ),
    _column(
        "curve_otce",
        pa.list_(_NUMBER),
        "-H(target label | source label) at each of curve_epsilon",
        unit="nats",
        direction="higher",
        later=_LATER,
    ),
    _column(
        "curve_failure",
        _TEXT,
        "why the first draw has no curve although one was asked for; null otherwise",
        later=_LATER,
    ),
    _column(
        "value",
        _NUMBER,
        "the score that `metric` names; equal to otce where that is the metric",
        unit="of the metric",
        direction="higher",
        later=_LATER,
    ),
)

PAIR: Final = _schema(
    "pair",
    *_SCORE_COLUMNS,
    _column("source_classes", pa.list_(_INT), "class ids of the joint's rows"),
    _column("target_classes", pa.list_(_INT), "class ids of the joint's columns"),
    _column("joint", pa.list_(_NUMBER), "P(Y_s, Y_t), row by row; sums to 1"),
    _column(
        "target_items",
        pa.list_(_INT),
        "positions of the target images with pixels in any draw; in the first row only",
        later=_LATER,
    ),
    _column(
        "target_influence",
        pa.list_(_NUMBER),
        "what one more such image would add to the mean of the draws, by image; sums to 0",
        unit="of the metric",
        later=_LATER,
    ),
    _column(
        "source_items",
        pa.list_(_INT),
        "as target_items, of the source images; empty for metrics that see none",
        later=_LATER,
    ),
    _column(
        "source_influence",
        pa.list_(_NUMBER),
        "as target_influence, of the source images",
        unit="of the metric",
        later=_LATER,
    ),
    _column(
        "parts",
        pa.list_(_PART),
        "what parts of the target pixels cost, mean of the draws; in the first row of otce only",
        later=_LATER,
    ),
)
"""One metric of one (model, target) pair: a row per repetition."""

SCORES: Final = _schema("scores", *_SCORE_COLUMNS)
"""All repetitions of all pairs of a run."""

SUMMARY: Final = _schema(
    "summary",
    _column("target_dataset", _TEXT, "id of the target data set"),
    _column("rank", _INT, "1 + number of models that beat this one for certain enough"),
    _column("source_model", _TEXT, "id of the source model"),
    _column("source_dataset", _TEXT, "id of the data set the model was trained on"),
    _column("metric", _TEXT, "which score"),
    _column("preset", _TEXT, "name of the recipe: default, paper or custom"),
    _column("mean", _NUMBER, "mean score over repetitions", unit="nats", direction="higher"),
    _column("std", _NUMBER, "standard deviation over repetitions (ddof 1)", unit="nats"),
    _column("stderr", _NUMBER, "standard error of the mean", unit="nats"),
    _column("ci95_low", _NUMBER, "lower end of the 95 % interval (Student t)", unit="nats"),
    _column("ci95_high", _NUMBER, "upper end of the 95 % interval (Student t)", unit="nats"),
    _column("normalized", _NUMBER, "mean of 1 - H(Y_t|Y_s) / H(Y_t)", direction="higher"),
    _column("k_done", _INT, "repetitions scored"),
    _column("n_source_px", _INT, "fewest source pixels of a repetition", unit="px"),
    _column("n_target_px", _INT, "fewest target pixels of a repetition", unit="px"),
    _column("max_marginal_error", _NUMBER, "worst marginal error of a repetition"),
    _column("tied_with", pa.list_(_TEXT), "models that neither beat this one nor are beaten"),
    _column("degenerate", _TEXT, "none, or the side with a single class; such rows have no rank"),
    _column("pair_fingerprint", _TEXT, "fingerprint of everything that can change these numbers"),
    _column(
        "total_stderr",
        _NUMBER,
        "standard error that covers drawing images (of both sides) as well as pixels",
        unit="of the metric",
        later=_LATER,
    ),
    _column(
        "total95_low",
        _NUMBER,
        "lower end of the 95 % interval that covers images and pixels",
        unit="of the metric",
        later=_LATER,
    ),
    _column(
        "total95_high",
        _NUMBER,
        "upper end of the 95 % interval that covers images and pixels",
        unit="of the metric",
        later=_LATER,
    ),
    _column("n_source_images", _INT, "source images with drawn pixels", later=_LATER),
    _column("n_target_images", _INT, "target images with drawn pixels", later=_LATER),
    _column(
        "p_beats_next",
        _NUMBER,
        "probability that this model truly beats the next one in the ranking, both on the same "
        "images",
        later=_LATER,
    ),
    _column("rank_low", _INT, "best rank within 95 % of resampled images", later=_LATER),
    _column("rank_high", _INT, "worst rank within 95 % of resampled images", later=_LATER),
    _column("p_best", _NUMBER, "probability that this model has the best score", later=_LATER),
    _column(
        "p_best_so_far",
        _NUMBER,
        "probability that the best model is this one or one above it in the ranking",
        later=_LATER,
    ),
)
"""One row per pair and metric: what the ranking shows."""

JOINTS: Final = _schema(
    "joints",
    _column("pair_fingerprint", _TEXT, "fingerprint of everything that can change these numbers"),
    _column("source_model", _TEXT, "id of the source model"),
    _column("target_dataset", _TEXT, "id of the target data set"),
    _column("repetition", _INT, "which draw, from 0"),
    _column("source_class", _INT, "class id of the source pixels"),
    _column("source_class_name", _TEXT, "its name"),
    _column("target_class", _INT, "class id of the target pixels"),
    _column("target_class_name", _TEXT, "its name"),
    _column("probability", _NUMBER, "P(Y_s, Y_t); sums to 1 over a pair's repetition and metric"),
    _column("metric", _TEXT, "the score whose coupling it is of", later=_LATER),
)
"""The label correspondence of every pair and repetition, long."""

RISKS: Final = _schema(
    "risks",
    _column("pair_fingerprint", _TEXT, "fingerprint of everything that can change these numbers"),
    _column("source_model", _TEXT, "id of the source model"),
    _column("target_dataset", _TEXT, "id of the target data set"),
    _column("cut", _TEXT, "how pixels are parted: class, image, boundary or frequency"),
    _column("key", _INT, "class id; position of the image; 0 for the first part of the others"),
    _column("name", _TEXT, "name of the class, id of the image, or what the part is called"),
    _column("share", _NUMBER, "share of the drawn target pixels; sums to 1 over a pair's cut"),
    _column(
        "risk",
        _NUMBER,
        "the part's share of H(Y_t | Y_s); sums to minus the mean otce over a pair's cut",
        unit="nats",
        direction="lower",
    ),
)
"""What costs a pair its score, by class, image, boundary and frequency of the class; long."""

FAILURES: Final = _schema(
    "failures",
    _column("source_model", _TEXT, "id of the source model"),
    _column("target_dataset", _TEXT, "id of the target data set"),
    _column("stage", _TEXT, "census, load, extract, solve or publish"),
    _column("repetition", _INT, "which draw failed; empty when all did"),
    _column("error_class", _TEXT, "class of the error"),
    _column("transient", pa.bool_(), "whether the same run may succeed when started again"),
    _column("attempts", _INT, "how often it was tried"),
    _column("message", _TEXT, "what was found, where, what is allowed and what to do"),
    _column("metric", _TEXT, "which score failed; empty when all did", later=_LATER),
)
"""Every pair that lacks a score, and why."""

RACE: Final = _schema(
    "race",
    _column("target_dataset", _TEXT, "id of the target data set"),
    _column("metric", _TEXT, "which score the race is run by"),
    _column("round", _INT, "which round of the race for this target, from 0"),
    _column("phase", _TEXT, "heats: fewer pixels on fewer images; finals: the run's own draws"),
    _column("source_model", _TEXT, "id of the source model"),
    _column("repetitions", _INT, "repetitions of this phase that the model has after the round"),
    _column(
        "mean",
        _NUMBER,
        "mean of them; to be compared within the phase only; null where scoring failed",
        unit="of the metric",
        direction="higher",
    ),
    _column(
        "bound",
        _NUMBER,
        "highest that mean may be at the stated error, beside threshold; null: no bound yet",
        unit="of the metric",
    ),
    _column("threshold", _NUMBER, "mean of the k-th best model of the round", unit="of the metric"),
    _column("decision", _TEXT, "stays, leaves, finished (has all repetitions) or failed"),
    _column("reason", _TEXT, "why, in words"),
    _column("work", _NUMBER, "transport work on the model so far", unit="full repetitions"),
)
"""What a race decided, a row per target, round and model that was left."""


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of exactly a schema's columns.

    Args:
        rows: one mapping per row with a value (or None) for every column.
        schema: one of this module's schemas.

    Returns:
        The table, also when there are no rows.

    Raises:
        KeyError: a row lacks a column.
    """
    columns = [pa.array([row[field.name] for row in rows], type=field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
