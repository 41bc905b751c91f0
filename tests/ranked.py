"""Rows of pairs and what becomes of them in a ranking."""

from otce import tables
from otce.ranking import summarize


def rows_of(model, scores, **columns):
    return [
        dict.fromkeys(tables.PAIR.names)
        | {
            "pair_fingerprint": f"fp-{model}-{columns.get('target_dataset', 'bay')}",
            "metric": "otce",
            "preset": "default",
            "source_model": model,
            "source_dataset": f"{model}-data",
            "target_dataset": "bay",
            "repetition": repetition,
            "otce": score,
            "normalized": 0.8 + 0.01 * repetition,
            "marginal_error": 1e-4 * (repetition + 1),
            "n_source_px": 1000,
            "n_target_px": 1000,
            "degenerate": "none",
        }
        | columns
        for repetition, score in enumerate(scores)
    ]


def summary_of(*rows):
    return summarize(tables.table([row for model in rows for row in model], tables.PAIR))


def column(summary, name):
    return dict(zip(summary["source_model"].to_pylist(), summary[name].to_pylist(), strict=True))
