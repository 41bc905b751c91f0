"""The first draw of one pair in this process: what a run would couple, without Ray."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flows.export import close
from flows.progress import Progress
from flows.sources import kept_sources, pair_names, pinned_only, source_side, with_signatures
from otce.census import count_labels, draw_pixels
from otce.config import RunConfig
from otce.counts import kept_counts
from otce.datasets.expand import expanded
from otce.draw import Draw
from otce.errors import ConfigError
from otce.features import extract, round_alike
from otce.identity import PairNames, Signature
from otce.readable import Readable, open_readable
from otce.sampling import Sample, pixels_to_draw
from otce.signature import read_whole, refuse_other
from otce.storage.store import Store
from otce.zoo import SourceModel, load_model


@dataclass(frozen=True)
class FirstDraw:
    """Both sides of repetition 0 of a pair, unscaled.

    Attributes:
        config: the run over concrete data sets.
        model: loaded.
        side: its source side.
        pair_fingerprint: names the pair's scores.
        source: features and labels of the source pixels.
        source_was_kept: whether these were read and not extracted.
        target_id: the target.
        target: its data.
        sample: the drawn target pixels.
        features: (M, D) their features.
    """

    config: RunConfig
    model: SourceModel
    side: Signature
    pair_fingerprint: str
    source: Draw
    source_was_kept: bool
    target_id: str
    target: Readable
    sample: Sample
    features: NDArray[np.float32]


def first_draw(config: RunConfig, model_id: str, target_id: str, progress: Progress) -> FirstDraw:
    """Draw and extract repetition 0 of a pair; a source side that is kept is read instead.

    Args:
        config: a run as it was written.
        model_id: one of its models.
        target_id: one of its targets.
        progress: told of each image.

    Returns:
        The draw.

    Raises:
        ConfigError: there is no such model, target or pair.
        OtceError: data, model or store cannot be used.
    """
    if model_id not in config.models:
        raise ConfigError(f"no model is called {model_id!r}{close(model_id, config.models)}")
    config, described = with_signatures(expanded(config))
    if target_id not in config.targets:
        raise ConfigError(f"no target is called {target_id!r}{close(target_id, config.targets)}")
    chosen, options = config.models[model_id], config.execution.storage_options
    if (model_id, target_id) not in config.pairs:
        raise ConfigError(f"{target_id} is the source of {model_id}; name another target")
    store = Store(config.execution.store, options)
    target = open_readable(target_id, config.datasets[target_id], options)
    source_id, known = str(chosen.source), {}
    if chosen.signature is None and source_id not in pinned_only(config):
        known[source_id] = _content(open_source(config, model_id))
    side = source_side(model_id, config, described, known)
    namer = PairNames(config, model_id, side)
    names = pair_names(namer, target_id, target.digest, target.dataset.classes)
    model = _loaded(config, model_id, side)
    source = _kept_source(config, model_id, side, store)
    was_kept = source is not None
    if source is None:
        data = open_source(config, model_id)
        drawn = _drawn(data, source_id, config, store)
        features = _features(model, data, drawn, config, progress, "source images")
        source = Draw(features, drawn.label, drawn.item)
    sample = _drawn(target, target_id, config, store)
    features = _features(model, target, sample, config, progress, "target images")
    return FirstDraw(
        config, model, side, names["otce"], source, was_kept, target_id, target, sample, features
    )


def open_source(config: RunConfig, model_id: str) -> Readable:
    """Open the images that a model was trained on.

    Args:
        config: the run over concrete data sets.
        model_id: the model.

    Returns:
        Its source data set.

    Raises:
        ConfigError: the run has none, because a signature file stands for it.
        OtceError: it cannot be read.
    """
    source = config.models[model_id].source
    if source not in config.datasets:
        raise ConfigError(
            f"the source images of model {model_id} are not in this configuration; add data set "
            f"{source}, or do without what needs them"
        )
    return open_readable(source, config.datasets[source], config.execution.storage_options)


def reader(data: Readable) -> Callable[[int], NDArray[np.uint8]]:
    """Make what reads the image of a position, which must be as it was listed.

    Args:
        data: a data set.

    Returns:
        From a position to an (H, W, 3) image.
    """
    return lambda position: data.dataset.image(
        data.dataset.items[position], data.digests[position][0]
    )


def _content(data: Readable) -> tuple[str, tuple[str, ...]]:
    return data.digest, data.dataset.classes


def _loaded(config: RunConfig, model_id: str, side: Signature) -> SourceModel:
    execution = config.execution
    round_alike()
    return load_model(
        model_id,
        config.models[model_id].model_copy(update={"weights_digest": side.weights_digest}),
        python_path=execution.python_path,
        device="cuda" if torch.cuda.is_available() else "cpu",
        options=execution.storage_options,
        n_classes=len(side.classes),
    )


def _kept_source(config: RunConfig, model_id: str, side: Signature, store: Store) -> Draw | None:
    uris = kept_sources(config, {model_id: side}, [model_id], store).get(model_id)
    if uris is None:
        return None
    chosen = config.models[model_id]
    most_bytes = chosen.max_weights_bytes if chosen.signature else None
    # One object a draw, in order of repetitions, or one file of all.
    contents, draws = read_whole(uris[:1], config.execution.storage_options, most_bytes)
    refuse_other(contents, side, range(1), uris[0])
    return draws[0]


def _drawn(data: Readable, id_: str, config: RunConfig, store: Store) -> Sample:
    dataset = data.dataset
    counts = kept_counts(data.digest, store)
    if counts is None:
        counts = count_labels(dataset, dataset.items, data.digests)
    labelled_px = counts.sum(axis=1)
    return draw_pixels(
        dataset,
        range(len(dataset.items)),
        labelled_px,
        pixels=pixels_to_draw(
            int(labelled_px.sum()),
            config.sampling.pixels,
            shrink=config.sampling.too_few_pixels == "shrink",
            where=f"data set {id_}",
        ),
        repetitions=1,
        seed=config.seed,
        digest_of_dataset=data.digest,
        label_digests=[label for _, label in data.digests],
    )


def _features(
    model: SourceModel,
    data: Readable,
    sample: Sample,
    config: RunConfig,
    progress: Progress,
    kind: str,
) -> NDArray[np.float32]:
    used, starts = np.unique(sample.item, return_index=True)
    progress.expect(kind, len(used))
    read = reader(data)

    def told(position: int) -> NDArray[np.uint8]:
        image = read(position)
        progress.advance(kind)
        return image

    rows = extract(
        model.id,
        model.features,
        used.tolist(),
        told,
        list(
            zip(np.split(sample.y_px, starts[1:]), np.split(sample.x_px, starts[1:]), strict=True)
        ),
        batch_size=config.execution.batch_size or (8 if model.device.type == "cuda" else 1),
    )
    return np.concatenate([features for (features,) in rows])
