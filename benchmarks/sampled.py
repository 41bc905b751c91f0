"""The census of a data set, taken in this process: what benchmarks extract features of."""

from otce.census import count_labels, draw_pixels
from otce.config import DatasetConfig
from otce.readable import open_readable
from tasks.census import Census, Listed


def sampled(
    id_: str, config: DatasetConfig, *, pixels: int, repetitions: int, seed: int = 0
) -> Census:
    """Count a data set and draw from it, as a run does in shards."""
    found = open_readable(id_, config)
    dataset, images = found.dataset, tuple(image for image, _ in found.digests)
    counts = count_labels(dataset, dataset.items)
    sample = draw_pixels(
        dataset,
        range(len(dataset.items)),
        counts.sum(axis=1),
        pixels=pixels,
        repetitions=repetitions,
        seed=seed,
        digest_of_dataset=found.digest,
    )
    listed = Listed(id_, config, dataset.items, images, found.digest, dataset.classes)
    return Census(listed, tuple(counts.sum(axis=0).tolist()), sample)
