"""Tables of truth and of how it was predicted."""

from typing import Final

from otce.columns import INT, NUMBER, TEXT, column, schema

AGREEMENT: Final = schema(
    "agreement",
    column("truth", TEXT, "what was measured, such as how the model was transferred"),
    column("target_dataset", TEXT, "id of the target data set; null: mean over targets"),
    column("predictor", TEXT, "a metric of the run, or a baseline"),
    column("measure", TEXT, "how agreement is measured: see otce.truth.measures"),
    column("value", NUMBER, "agreement; null where it has no meaning"),
    column("low95", NUMBER, "lower end of its 95 % interval by bootstrap"),
    column("high95", NUMBER, "upper end"),
    column("difference", NUMBER, "value less that of otce"),
    column("difference_low95", NUMBER, "lower end of its paired 95 % interval"),
    column("difference_high95", NUMBER, "upper end"),
    column("n_models", INT, "models with a score and a truth; null for the mean"),
    column("n_targets", INT, "targets for which the measure has a meaning"),
    column("ceiling", NUMBER, "what the truth of one training seed says of the others"),
    column("pool_std", NUMBER, "spread over zoos that lack a tenth of the models"),
)
"""How well predictors agree with the truth: a row per truth, predictor, measure and target."""
