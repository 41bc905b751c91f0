"""A part of a run: some of its models and targets, or what changed since an earlier run."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from flows.history import NUMBERED, finished
from flows.pairs import Prepared, lost_pairs
from flows.references import names_by_pair
from otce.config import RunConfig
from otce.errors import ConfigError
from otce.storage.retention import REFERENCES
from otce.storage.store import Store
from otce.tables import FAILURES

PREVIOUS = "previous"
"""Stands for the last finished run of the own series."""
_SHOWN = 8


def selected(config: RunConfig, only: Sequence[str]) -> RunConfig:
    """Keep the models and targets that patterns match.

    Patterns that match models keep those models, patterns that match targets those targets; where
    none matches a model, or none a target, all of them stay. The tables of a part stand in a
    folder of their own, so that they never replace those of the whole.

    Args:
        config: a run over concrete data sets.
        only: globs of ids, such as `unet-*`; none: everything.

    Returns:
        The run of the part.

    Raises:
        ConfigError: a pattern matches nothing, or no pair is left.
    """
    if not only:
        return config
    for pattern in only:
        if not any(fnmatchcase(id_, pattern) for id_ in (*config.models, *config.targets)):
            ids = ", ".join([*config.targets, *config.models][:_SHOWN])
            raise ConfigError(
                f"--only {pattern} matches no model and no target; ids are {ids} and so on, and * "
                "stands for any text"
            )
    models = {id_: m for id_, m in config.models.items() if _matches(id_, only)} or config.models
    targets = tuple(id_ for id_ in config.targets if _matches(id_, only)) or config.targets
    part = config.model_copy(update={"models": models, "targets": targets})
    if not part.pairs:
        raise ConfigError(
            f"--only {' '.join(only)} leaves no pair: every target is its only models' own source"
        )
    if part.pairs == config.pairs or config.execution.run_id is None:
        return part
    stem = config.execution.run_id.removesuffix(NUMBERED)[:48]
    run_id = f"{stem.rstrip('-')}-part-{part.fingerprint[:8]}"
    return part.model_copy(
        update={"execution": config.execution.model_copy(update={"run_id": run_id})}
    )


def without_known_failures(
    config: RunConfig, found: Prepared, since: str | None, store: Store
) -> Prepared:
    """Leave out what failed for good in an earlier run and has not changed since.

    Args:
        config: the run.
        found: what is known of it.
        since: id of a finished run, or `previous`; None: everything is tried.
        store: where runs are kept.

    Returns:
        What is to be done; the earlier run's failures stand for what is not tried again.

    Raises:
        ConfigError: there is no such run.
        StoreError: the store does not answer.
    """
    run_id = _earlier(config, since, store)
    if run_id is None:
        return found
    folder = f"runs/{run_id}"
    names = names_by_pair(store.get_table(f"{folder}/references.parquet", REFERENCES))
    known = []
    for row in store.get_table(f"{folder}/failures.parquet", FAILURES).to_pylist():
        pair, metric = (row["source_model"], row["target_dataset"]), row["metric"]
        before, todo = names.get(pair, {}), found.todo.get(pair, {})
        asked = {m: name for m, name in todo.items() if metric in {None, m}}
        if asked and not row["transient"] and asked.items() <= before.items():
            known.append(row)
    gone = {(row["source_model"], row["target_dataset"], row["metric"]) for row in known}
    lost = lost_pairs(known)
    left = {
        pair: {metric: name for metric, name in todo.items() if (*pair, metric) not in gone}
        for pair, todo in found.todo.items()
        if pair not in lost
    }
    return replace(
        found,
        todo={pair: names_ for pair, names_ in left.items() if names_},
        failures=found.failures + known,
    )


def _earlier(config: RunConfig, since: str | None, store: Store) -> str | None:
    if since == PREVIOUS:
        if not config.run_id.endswith(NUMBERED):
            raise ConfigError(
                f"--since {PREVIOUS} needs numbered runs, but this one's id is {config.run_id}; "
                "set execution.run_id to a text that ends in {n}, or name a run"
            )
        numbers = finished(config.run_id, store)
        return numbers[max(numbers)] if numbers else None
    if since is not None and not store.exists(f"runs/{since}/references.parquet"):
        runs = sorted({name.partition("/")[0] for name in store.names("runs")})
        raise ConfigError(
            f"--since {since}: {store.uri} has no such run, or it is of an older otce; runs there: "
            f"{', '.join(runs[:_SHOWN]) or 'none'}"
        )
    return since


def _matches(id_: str, only: Sequence[str]) -> bool:
    return any(fnmatchcase(id_, pattern) for pattern in only)
