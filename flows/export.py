"""One file of a model's source side, from the draws that a run kept."""

import difflib
from collections.abc import Iterable

from flows.sources import pinned_only, source_side, with_signatures
from otce.config import RunConfig
from otce.datasets.expand import expanded
from otce.errors import ConfigError
from otce.readable import open_readable
from otce.signature import Contents, encode, kept_uris, read_whole, refuse_other
from otce.storage.files import absolute_uri, write_bytes
from otce.storage.store import Store


def export_signature(config: RunConfig, model_id: str, uri: str) -> tuple[Contents, int]:
    """Write the source side of a model as one file, to travel with its checkpoint.

    The same draws give the same bytes.

    Args:
        config: a run whose draws of the model's source are kept.
        model_id: the model.
        uri: path or fsspec URI of the file.

    Returns:
        What the file holds, and its size in bytes.

    Raises:
        ConfigError: there is no such model, it has a file already, or its draws are not kept.
        OtceError: the model or its source data set cannot be identified, a draw is damaged, or the
            file cannot be written.
    """
    if model_id not in config.models:
        raise ConfigError(f"no model is called {model_id!r}{close(model_id, config.models)}")
    if (file := config.models[model_id].signature) is not None:
        raise ConfigError(f"model {model_id} takes its source side from {file}; copy that file")
    execution = config.execution
    config, _ = with_signatures(expanded(config))
    chosen = config.models[model_id]
    source = str(chosen.source)
    known = {}
    if source not in pinned_only(config):
        found = open_readable(source, config.datasets[source], execution.storage_options)
        known[source] = found.digest, found.dataset.classes
    side = source_side(model_id, config, {}, known)
    repetitions = config.sampling.repetitions
    store = Store(execution.store, execution.storage_options)
    uris = kept_uris(side, repetitions, store)
    if not uris:
        raise ConfigError(
            f"{store.uri} does not hold the {repetitions} draws of the source side of {model_id}; "
            "run this configuration first, with execution.keep_signatures: true"
        )
    contents, draws = read_whole(uris, execution.storage_options)
    refuse_other(contents, side, range(repetitions), uris[0])
    data = encode(side, draws)
    write_bytes(absolute_uri(uri, "."), data, execution.storage_options)
    return contents, len(data)


def close(name: str, known: Iterable[str]) -> str:
    """Name what may have been meant, for an error about an unknown name.

    Args:
        name: what was asked for.
        known: what there is.

    Returns:
        A clause that starts with a semicolon.
    """
    known = list(known)
    alike = difflib.get_close_matches(name, known, n=3)
    return f"; there are {', '.join(alike or sorted(known)[:20])}"
