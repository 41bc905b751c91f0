"""Schemas of everything that is kept: tidy, fixed types, units and direction in the metadata.

A column may be added within a major version and never changes its type or meaning; one that was is
marked `later` in its metadata and is null in files written before it. Scores are in nats; `otce`
is at most 0 and higher is better.
"""

from typing import Any, Final

import pyarrow as pa

from otce.columns import INT, LATER, NUMBER, TEXT, column, schema

COUNTS: Final = schema(
    "counts",
    column("dataset_digest", TEXT, "digest of the data set's items, classes and label rules"),
    column("item", INT, "position of the image in the data set, from 0"),
    column("item_id", TEXT, "id of the image"),
    column("class_px", pa.list_(pa.int64()), "labelled pixels of each class id", unit="px"),
)
"""The label census of a data set: a row per image."""

SAMPLES: Final = schema(
    "samples",
    column("dataset_digest", TEXT, "digest of the data set's items, classes and label rules"),
    column("repetition", INT, "which draw, from 0"),
    column("item", INT, "position of the image in the data set, from 0"),
    column("item_id", TEXT, "id of the image"),
    column("y_px", INT, "row of the pixel in the label mask, from 0", unit="px"),
    column("x_px", INT, "column of the pixel in the label mask, from 0", unit="px"),
    column("label", INT, "class id of the pixel"),
    column(
        "boundary",
        pa.bool_(),
        "whether a pixel of another class is at most 2 px away",
        later=LATER,
    ),
)

_PART: Final = pa.struct(
    [
        pa.field("cut", TEXT),
        pa.field("key", INT),
        pa.field("share", NUMBER),
        pa.field("risk", NUMBER),
    ]
)
_SCORE_COLUMNS: Final = (
    column("pair_fingerprint", TEXT, "fingerprint of everything that can change these numbers"),
    column("score_version", INT, "version of the definition of the score"),
    column("metric", TEXT, "which score"),
    column("preset", TEXT, "name of the recipe: default, paper or custom"),
    column("source_model", TEXT, "id of the source model"),
    column("source_dataset", TEXT, "id of the data set the model was trained on"),
    column("target_dataset", TEXT, "id of the target data set"),
    column("tap", TEXT, "features: head, logits or a module path"),
    column("model_digest", TEXT, "SHA-256 of the weights file"),
    column("source_digest", TEXT, "digest of the source data set"),
    column("target_digest", TEXT, "digest of the target data set"),
    column("repetition", INT, "which draw, from 0"),
    column("seed", pa.int64(), "root seed of the run"),
    column("otce", NUMBER, "-H(target label | source label)", unit="nats", direction="higher"),
    column("conditional_entropy", NUMBER, "H(Y_t | Y_s)", unit="nats", direction="lower"),
    column("target_entropy", NUMBER, "H(Y_t), the largest H(Y_t | Y_s) can be", unit="nats"),
    column("normalized", NUMBER, "1 - H(Y_t | Y_s) / H(Y_t), 0 to 1", direction="higher"),
    column("transport_cost", NUMBER, "<C, plan>", unit="scaled squared feature distance"),
    column("epsilon", NUMBER, "entropic regularisation", unit="scaled squared feature distance"),
    column("feature_scaling", TEXT, "standardize, softmax, l2 or none"),
    column("relaxation", TEXT, "free marginal of the coupling: none (paper) or source"),
    column("class_weights", TEXT, "weighting of pixels by class; uniform is the paper's"),
    column("solver", TEXT, "transport solver"),
    column("marginal_error", NUMBER, "L1 error of the coupling's marginals", direction="lower"),
    column("n_iter", INT, "solver iterations; 0 for solvers without"),
    column("converged", pa.bool_(), "whether the error is within the tolerance; always true"),
    column("n_source_px", INT, "source pixels used", unit="px"),
    column("n_target_px", INT, "target pixels used", unit="px"),
    column("n_source_classes", INT, "classes among the source pixels"),
    column("n_target_classes", INT, "classes among the target pixels"),
    column("feature_dim", INT, "dimension of the features"),
    column("degenerate", TEXT, "none, or the side (source, target) that has a single class"),
    column(
        "curve_epsilon",
        pa.list_(NUMBER),
        "epsilons at which the first draw was scored as well, ascending; empty for other draws",
        unit="scaled squared feature distance",
        later=LATER,
    ),
    column(
        "curve_otce",
        pa.list_(NUMBER),
        "-H(target label | source label) at each of curve_epsilon",
        unit="nats",
        direction="higher",
        later=LATER,
    ),
    column(
        "curve_failure",
        TEXT,
        "why the first draw has no curve although one was asked for; null otherwise",
        later=LATER,
    ),
    column(
        "value",
        NUMBER,
        "the score that `metric` names; equal to otce where that is the metric",
        unit="of the metric",
        direction="higher",
        later=LATER,
    ),
)

PAIR: Final = schema(
    "pair",
    *_SCORE_COLUMNS,
    column("source_classes", pa.list_(INT), "class ids of the joint's rows"),
    column("target_classes", pa.list_(INT), "class ids of the joint's columns"),
    column("joint", pa.list_(NUMBER), "P(Y_s, Y_t), row by row; sums to 1"),
    column(
        "target_items",
        pa.list_(INT),
        "positions of the target images with pixels in any draw, or of the first image of each "
        "block where all pixels count; in the first row only",
        later=LATER,
    ),
    column(
        "target_influence",
        pa.list_(NUMBER),
        "what one more such image would add to the mean of the draws, by image; sums to 0",
        unit="of the metric",
        later=LATER,
    ),
    column(
        "source_items",
        pa.list_(INT),
        "as target_items, of the source images; empty for metrics that see none",
        later=LATER,
    ),
    column(
        "source_influence",
        pa.list_(NUMBER),
        "as target_influence, of the source images",
        unit="of the metric",
        later=LATER,
    ),
    column(
        "parts",
        pa.list_(_PART),
        "what parts of the target pixels cost, mean of the draws; in the first row of otce only",
        later=LATER,
    ),
)
"""One metric of one (model, target) pair: a row per repetition."""

SCORES: Final = schema("scores", *_SCORE_COLUMNS)
"""All repetitions of all pairs of a run."""

SUMMARY: Final = schema(
    "summary",
    column("target_dataset", TEXT, "id of the target data set"),
    column("rank", INT, "1 + number of models that beat this one for certain enough"),
    column("source_model", TEXT, "id of the source model"),
    column("source_dataset", TEXT, "id of the data set the model was trained on"),
    column("metric", TEXT, "which score"),
    column("preset", TEXT, "name of the recipe: default, paper or custom"),
    column("mean", NUMBER, "mean score over repetitions", unit="nats", direction="higher"),
    column("std", NUMBER, "standard deviation over repetitions (ddof 1)", unit="nats"),
    column("stderr", NUMBER, "standard error of the mean", unit="nats"),
    column("ci95_low", NUMBER, "lower end of the 95 % interval (Student t)", unit="nats"),
    column("ci95_high", NUMBER, "upper end of the 95 % interval (Student t)", unit="nats"),
    column("normalized", NUMBER, "mean of 1 - H(Y_t|Y_s) / H(Y_t)", direction="higher"),
    column("k_done", INT, "repetitions scored"),
    column("n_source_px", INT, "fewest source pixels of a repetition", unit="px"),
    column("n_target_px", INT, "fewest target pixels of a repetition", unit="px"),
    column("max_marginal_error", NUMBER, "worst marginal error of a repetition"),
    column("tied_with", pa.list_(TEXT), "models that neither beat this one nor are beaten"),
    column("degenerate", TEXT, "none, or the side with a single class; such rows have no rank"),
    column("pair_fingerprint", TEXT, "fingerprint of everything that can change these numbers"),
    *(
        column(name, NUMBER, meaning, unit="of the metric", later=LATER)
        for name, meaning in {
            "total_stderr": "standard error that covers drawing images as well as pixels",
            "total95_low": "lower end of the 95 % interval that covers images and pixels",
            "total95_high": "upper end of the 95 % interval that covers images and pixels",
        }.items()
    ),
    column("n_source_images", INT, "source images with drawn pixels", later=LATER),
    column("n_target_images", INT, "as n_source_images; blocks of _all_px metrics", later=LATER),
    column(
        "p_beats_next",
        NUMBER,
        "probability that this model truly beats the next one in the ranking, both on the same "
        "images",
        later=LATER,
    ),
    column("rank_low", INT, "best rank within 95 % of resampled images", later=LATER),
    column("rank_high", INT, "worst rank within 95 % of resampled images", later=LATER),
    column("p_best", NUMBER, "probability that this model has the best score", later=LATER),
    column(
        "p_best_so_far",
        NUMBER,
        "probability that the best model is this one or one above it in the ranking",
        later=LATER,
    ),
)
"""One row per pair and metric: what the ranking shows."""

JOINTS: Final = schema(
    "joints",
    column("pair_fingerprint", TEXT, "fingerprint of everything that can change these numbers"),
    column("source_model", TEXT, "id of the source model"),
    column("target_dataset", TEXT, "id of the target data set"),
    column("repetition", INT, "which draw, from 0"),
    column("source_class", INT, "class id of the source pixels"),
    column("source_class_name", TEXT, "its name"),
    column("target_class", INT, "class id of the target pixels"),
    column("target_class_name", TEXT, "its name"),
    column("probability", NUMBER, "P(Y_s, Y_t); sums to 1 over a pair's repetition and metric"),
    column("metric", TEXT, "the score whose coupling it is of", later=LATER),
)
"""The label correspondence of every pair and repetition, long."""

RISKS: Final = schema(
    "risks",
    column("pair_fingerprint", TEXT, "fingerprint of everything that can change these numbers"),
    column("source_model", TEXT, "id of the source model"),
    column("target_dataset", TEXT, "id of the target data set"),
    column("cut", TEXT, "how pixels are parted: class, image, boundary or frequency"),
    column("key", INT, "class id; position of the image; 0 for the first part of the others"),
    column("name", TEXT, "name of the class, id of the image, or what the part is called"),
    column("share", NUMBER, "share of the drawn target pixels; sums to 1 over a pair's cut"),
    column(
        "risk",
        NUMBER,
        "the part's share of H(Y_t | Y_s); sums to minus the mean otce over a pair's cut",
        unit="nats",
        direction="lower",
    ),
)
"""What costs a pair its score, by class, image, boundary and frequency of the class; long."""

FAILURES: Final = schema(
    "failures",
    column("source_model", TEXT, "id of the source model"),
    column("target_dataset", TEXT, "id of the target data set"),
    column("stage", TEXT, "census, load, extract, solve or publish"),
    column("repetition", INT, "which draw failed; empty when all did"),
    column("error_class", TEXT, "class of the error"),
    column("transient", pa.bool_(), "whether the same run may succeed when started again"),
    column("attempts", INT, "how often it was tried"),
    column("message", TEXT, "what was found, where, what is allowed and what to do"),
    column("metric", TEXT, "which score failed; empty when all did", later=LATER),
)
"""Every pair that lacks a score, and why."""

RACE: Final = schema(
    "race",
    column("target_dataset", TEXT, "id of the target data set"),
    column("metric", TEXT, "which score the race is run by"),
    column("round", INT, "which round of the race for this target, from 0"),
    column("phase", TEXT, "heats: fewer pixels on fewer images; finals: the run's own draws"),
    column("source_model", TEXT, "id of the source model"),
    column("repetitions", INT, "repetitions of this phase that the model has after the round"),
    column(
        "mean",
        NUMBER,
        "mean of them; to be compared within the phase only; null where scoring failed",
        unit="of the metric",
        direction="higher",
    ),
    column(
        "bound",
        NUMBER,
        "highest that mean may be at the stated error, beside threshold; null: no bound yet",
        unit="of the metric",
    ),
    column("threshold", NUMBER, "mean of the k-th best model of the round", unit="of the metric"),
    column("decision", TEXT, "stays, leaves, finished (has all repetitions) or failed"),
    column("reason", TEXT, "why, in words"),
    column("work", NUMBER, "transport work on the model so far", unit="full repetitions"),
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
