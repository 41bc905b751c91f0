"""Where the source side of every model comes from: images, draws kept in the store, or a file."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from otce.config import RunConfig
from otce.datasets import open_dataset
from otce.errors import ConfigError, DataError, ModelError, OtceError
from otce.identity import (
    PairNames,
    Signature,
    model_signature,
)
from otce.model_config import ModelConfig
from otce.recipe import Metric
from otce.scores.zero_shot import class_map
from otce.signature import Contents, kept_uris, read_contents, refuse_other
from otce.storage.store import Store
from otce.zoo import model_identity

_T = TypeVar("_T")
Described = dict[str, Contents | OtceError]
"""What the signature file of each model that has one holds, or why that cannot be said."""


Known = tuple[str, tuple[str, ...]]
"""Digest and class names of a data set."""


def with_signatures(config: RunConfig) -> tuple[RunConfig, Described]:
    """Read what signature files hold, and fill in the sources that only they name.

    Args:
        config: a run over concrete data sets.

    Returns:
        The run in which every model whose file can be read has a `source`, and what the files hold.

    Raises:
        ConfigError: no pair is left.
    """
    found: Described = over_models(
        lambda id_: _contents(id_, config), [i for i, m in config.models.items() if m.signature]
    )
    models = {id_: _sourced(model, found.get(id_)) for id_, model in config.models.items()}
    filled = config.model_copy(update={"models": models})
    if not filled.pairs:
        raise ConfigError("no pair to score: every target is its only models' own source data set")
    return filled, found


def over_models(work: Callable[[str], _T], models: Iterable[str]) -> dict[str, _T | OtceError]:
    """Do something for each model, a few at once.

    Args:
        work: from a model's id to its result.
        models: ids.

    Returns:
        Results, or why there is none, by model.
    """

    def tried(id_: str) -> _T | OtceError:
        try:
            return work(id_)
        except OtceError as error:
            return error

    ids = list(models)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(ids, pool.map(tried, ids), strict=True))


def source_side(
    model_id: str, config: RunConfig, described: Described, known: Mapping[str, Known]
) -> Signature:
    """Describe the source side of a model: of its file, of images that were read, or pinned ones.

    Args:
        model_id: the model.
        config: the run.
        described: what signature files hold, by model.
        known: data sets that were read; the model's source, where it has no file, is among them or
            pinned to a digest.

    Returns:
        The description.

    Raises:
        OtceError: the model cannot be identified, or its file cannot be read or is of another
            source side than this run's.
    """
    execution, chosen = config.execution, config.models[model_id]
    identity = model_identity(chosen, execution.python_path, execution.storage_options)
    file = described.get(model_id)
    if isinstance(file, OtceError):
        raise file
    source = str(chosen.source)
    digest, classes = _content(model_id, source, config, file, known)
    wanted = model_signature(
        config, model_id, model=identity, source=source, source_digest=digest, classes=classes
    )
    if file is not None:
        where = f"model {model_id}: {chosen.signature}"
        refuse_other(file, wanted, range(config.sampling.repetitions), where)
    return wanted


def pair_names(
    names: PairNames, target_id: str, target_digest: str, target_classes: tuple[str, ...]
) -> dict[Metric, str]:
    """Name every metric that a pair can have.

    Args:
        names: names the model's pairs.
        target_id: the target.
        target_digest: digest of the target.
        target_classes: its class names.

    Returns:
        Fingerprints by metric; zero-shot mIoU is left out where class names have less than two
        in common, because then it means nothing.

    Raises:
        DataError: the weights need one label space, and the two sides have two.
    """
    config, classes = names.config, names.side.classes
    if config.score.class_weights == "target_prior" and classes != target_classes:
        raise DataError(
            f"class_weights: target_prior needs equal classes on both sides, but {target_id} has "
            f"{', '.join(target_classes)} and the source {', '.join(classes)}; use other weights"
        )
    has_map = class_map(classes, target_classes) is not None
    return {
        metric: names.pair(target_id, target_digest, metric)
        for metric in config.metrics
        if has_map or metric not in {"zero_shot_miou", "zero_shot_miou_all_px"}
    }


def repetition_names(
    config: RunConfig,
    model_id: str,
    target_id: str,
    side: Signature,
    target_digest: str,
    *,
    heat: bool = False,
) -> dict[Metric, str]:
    """Name what the repetitions of every metric of a pair have in common.

    Args:
        config: the run.
        model_id: the model.
        target_id: the target.
        side: the model's source side.
        target_digest: digest of the target.
        heat: those of the heats of a race.

    Returns:
        Fingerprints by metric; of heats, which have one metric, that of `otce`.
    """
    metrics: tuple[Metric, ...] = ("otce",) if heat else config.metrics
    names = PairNames(config, model_id, side)
    return {
        metric: names.repetitions(target_id, target_digest, metric, heat=heat) for metric in metrics
    }


def pinned_only(config: RunConfig) -> set[str]:
    """Name the data sets that need not be read before it is known whether their draws are kept.

    Args:
        config: the run.

    Returns:
        Ids of the data sets that are pinned to a digest and are no target.
    """
    return {id_ for id_, data in config.datasets.items() if data.digest} - set(config.targets)


def kept_sources(
    config: RunConfig, signatures: Mapping[str, Signature], models: Iterable[str], store: Store
) -> dict[str, tuple[str, ...]]:
    """Find the models whose source side needs no images.

    Args:
        config: the run.
        signatures: source sides by model.
        models: ids of the models that are to be scored.
        store: where draws are kept.

    Returns:
        By model, the URIs of its draws: its signature file, or objects of the store.

    Raises:
        StoreError: the store does not answer.
    """

    def uris(id_: str) -> tuple[str, ...]:
        file = config.models[id_].signature
        if file is not None:
            return (file,)
        return kept_uris(signatures[id_], config.sampling.repetitions, store)

    found = over_models(uris, models)
    for error in found.values():
        if isinstance(error, OtceError):
            raise error
    return {id_: places for id_, places in found.items() if isinstance(places, tuple) and places}


def _content(
    model_id: str,
    source: str,
    config: RunConfig,
    file: Contents | None,
    known: Mapping[str, Known],
) -> Known:
    if file is None and source not in known:
        data = config.datasets[source]
        return str(data.digest), open_dataset(data, config.execution.storage_options).classes
    if file is None:
        return known[source]
    digest = file.signature.source_digest
    if source in known and known[source][0] != digest:
        raise ModelError(
            f"model {model_id}: its signature is of a data set {source} with digest {digest}, the "
            f"one here has {known[source][0]}; give the one here another id"
        )
    return digest, file.signature.classes


def _contents(model_id: str, config: RunConfig) -> Contents:
    model = config.models[model_id]
    uri = str(model.signature)
    found = read_contents(uri, config.execution.storage_options, model.max_weights_bytes)
    if model.source not in (None, found.signature.source):
        raise ModelError(
            f"model {model_id}: {uri} is of the source data set {found.signature.source}, not of "
            f"{model.source}; name the same one, or leave source out"
        )
    return found


def _sourced(model: ModelConfig, described: Contents | OtceError | None) -> ModelConfig:
    if not isinstance(described, Contents):
        return model
    return model.model_copy(update={"source": described.signature.source})
