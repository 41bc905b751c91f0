"""Entries with `by` become one data set per city or sequence, where configuration meets storage."""

import difflib

from otce.config import RunConfig
from otce.dataset_config import CamvidDataset, CityscapesDataset, DatasetConfig
from otce.datasets.image_files import ImageDataset
from otce.errors import ConfigError
from otce.storage.files import StorageOptions


def expanded(config: RunConfig) -> RunConfig:
    """Replace every entry with `by` by one data set per part, called `<id>/<part>`.

    Parts are those named by the entry, or else those that the storage has images of, sorted; so
    equal names in the storage give an equal configuration, and its fingerprint is one of concrete
    data sets. `targets` that name the entry mean all its parts. Without `by` nothing is listed.

    Args:
        config: a run as it was written.

    Returns:
        The run over concrete data sets only.

    Raises:
        ConfigError: a model or a target names a part that does not exist, or no pair is left.
        DataError: an entry has no items.
        StoreError: the storage refuses or does not answer.
    """
    if not any(getattr(chosen, "by", None) for chosen in config.datasets.values()):
        return config
    options = config.execution.storage_options
    parts = {id_: _parts(id_, chosen, options) for id_, chosen in config.datasets.items()}
    datasets: dict[str, DatasetConfig] = {}
    for id_, inner in parts.items():
        if clash := sorted(inner.keys() & config.datasets.keys() - {id_}):
            raise ConfigError(f"data set {clash[0]} is also a part of {id_}; rename one of the two")
        datasets |= inner
    targets = [part for name in config.targets for part in parts.get(name, {name: None})]
    sources = [str(model.source) for model in config.models.values() if not model.signature]
    for name in (*targets, *sources):
        if name not in datasets:
            close = difflib.get_close_matches(name, datasets, n=3) or sorted(datasets)[:20]
            raise ConfigError(f"no data set has the id {name!r}; there are {', '.join(close)}")
    concrete = config.model_copy(
        update={"datasets": datasets, "targets": tuple(dict.fromkeys(targets))}
    )
    if not concrete.pairs:
        raise ConfigError("no pair to score: every target is its only models' own source data set")
    return concrete


def _parts(id_: str, chosen: DatasetConfig, options: StorageOptions) -> dict[str, DatasetConfig]:
    match chosen:
        case CityscapesDataset(by="city"):
            names = chosen.cities or ImageDataset(chosen, options).parts()
            return {
                f"{id_}/{name}": chosen.model_copy(update={"by": None, "cities": (name,)})
                for name in names
            }
        case CamvidDataset(by="sequence"):
            names = chosen.sequences or ImageDataset(chosen, options).parts()
            return {
                f"{id_}/{name}": chosen.model_copy(update={"by": None, "sequences": (name,)})
                for name in names
            }
    return {id_: chosen}
