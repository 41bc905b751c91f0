"""What is to be done: data sets listed, models identified, pairs named."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from prefect.futures import PrefectFuture

from flows.progress import Progress
from otce.config import RunConfig
from otce.errors import DataError, OtceError
from otce.identity import ModelIdentity, pair_fingerprint
from otce.zoo import model_identity
from tasks.census import Listed, list_dataset
from tasks.retry import explained
from tasks.score import failure_row

Pair = tuple[str, str]
"""Ids of a model and a target."""
_T = TypeVar("_T")


def list_datasets(
    config: RunConfig, progress: Progress
) -> tuple[dict[str, Listed], list[dict[str, Any]]]:
    """List every data set that a pair needs.

    Args:
        config: the run.
        progress: told of each, and of what was left out.

    Returns:
        Those that could be read, by id, and failure rows of the pairs that need the others.
    """
    needed = dict.fromkeys(
        id_ for model, target in config.pairs for id_ in (config.models[model].source, target)
    )
    progress.expect("data sets", len(needed))
    futures = {id_: list_dataset.submit(id_, config) for id_ in needed}
    found, failures = gathered(futures, config, config.pairs, lambda: progress.advance("data sets"))
    for id_, data in found.items():
        for note in (*data.notes, *data.left_out.values()):
            progress.say(f"{id_}: {note}")
    return found, failures


def gathered(
    futures: Mapping[str, PrefectFuture[_T]],
    config: RunConfig,
    pairs: Iterable[Pair],
    advance: Callable[[], None],
) -> tuple[dict[str, _T], list[dict[str, Any]]]:
    """Wait for one task a data set; its failure is the failure of the pairs that need it.

    Args:
        futures: of the tasks, by data set id.
        config: the run.
        pairs: (model, target) ids that are to be scored.
        advance: called for each.

    Returns:
        Results by data set id, and failure rows.
    """
    found: dict[str, _T] = {}
    failures = []
    for id_, future in futures.items():
        result: _T | Exception = future.result(raise_on_failure=False)
        if isinstance(result, Exception):
            error = explained(result)
            failures += [
                failure_row(model, target, "census", error)
                for model, target in pairs
                if id_ in (target, config.models[model].source)
            ]
        else:
            found[id_] = result
        advance()
    return found, failures


def identify(
    config: RunConfig, listed: Mapping[str, Listed]
) -> tuple[dict[Pair, str], dict[str, ModelIdentity], list[dict[str, Any]]]:
    """Name every pair that can be scored.

    Args:
        config: the run.
        listed: data sets whose content is known, by id.

    Returns:
        Pair fingerprints, models' digests, and failure rows of pairs that cannot be scored.
    """
    pairs = [
        (model, target)
        for model, target in config.pairs
        if target in listed and config.models[model].source in listed
    ]
    execution = config.execution

    def identified(model: str) -> ModelIdentity | OtceError:
        try:
            chosen = config.models[model]
            return model_identity(chosen, execution.python_path, execution.storage_options)
        except OtceError as error:
            return error

    models = list(dict.fromkeys(model for model, _ in pairs))
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = dict(zip(models, pool.map(identified, models), strict=True))
    names: dict[Pair, str] = {}
    failures = []
    for model, target in pairs:
        identity, source = found[model], listed[config.models[model].source]
        problem = identity if isinstance(identity, OtceError) else None
        if config.score.class_weights == "target_prior":
            problem = problem or _other_classes(source, listed[target], target)
        if problem is None and isinstance(identity, ModelIdentity):
            names[model, target] = pair_fingerprint(
                config,
                model,
                target,
                model=identity,
                source_digest=source.digest,
                target_digest=listed[target].digest,
            )
        elif problem is not None:
            failures.append(failure_row(model, target, "load", problem))
    identities = {id_: i for id_, i in found.items() if isinstance(i, ModelIdentity)}
    return names, identities, failures


def _other_classes(source: Listed, target: Listed, target_id: str) -> DataError | None:
    if source.classes == target.classes:
        return None
    return DataError(
        f"class_weights: target_prior needs equal classes on both sides, but {target_id} has "
        f"{', '.join(target.classes)} and the source {', '.join(source.classes)}; use other weights"
    )
