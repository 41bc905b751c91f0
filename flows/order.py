"""In which order models are scored: the most expensive first, so that none is left over at the end.

Only the order of work depends on it: no score, name or table does.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from math import prod
from typing import Final

from flows.sources import over_models
from otce.model_config import Preprocessing
from otce.storage.files import size_bytes
from tasks.work import Work

_IMAGE_PX: Final = 512 * 1024
"""Pixels of an image whose size nothing but the image tells."""


def most_expensive_first(
    pairs: Mapping[str, Iterable[str]], work: Work, *, heat: bool
) -> deque[str]:
    """Order models by weights x pixels x images, as far as these are known before any runs.

    Args:
        pairs: by model the targets that it is to be scored for.
        work: what all models share.
        heat: whether these are heats of a race.

    Returns:
        Ids, the most expensive first; in the given order where nothing tells them apart.
    """
    weights = _weights_bytes(pairs, work)

    def cost(model: str) -> int:
        side = work.sides[model]
        ids = [*pairs[model], *([side.source] if heat or model not in work.kept else [])]
        images = sum(len(work.drawn(id_, heat=heat).listed.items) for id_ in ids)
        return weights[model] * images * _image_px(side.preprocessing)

    return deque(sorted(pairs, key=cost, reverse=True))


def _image_px(preprocessing: Preprocessing) -> int:
    if preprocessing.size_px is not None:
        return prod(preprocessing.size_px)
    return preprocessing.shortest_px**2 if preprocessing.shortest_px else _IMAGE_PX


def _weights_bytes(models: Iterable[str], work: Work) -> dict[str, int]:
    """Sizes of weights files; a net without one counts as the largest: better early than late."""
    config = work.config
    files = {id_: config.models[id_].weights for id_ in models}
    sizes = over_models(
        lambda id_: size_bytes(str(files[id_]), config.execution.storage_options),
        [id_ for id_, uri in files.items() if uri is not None],
    )
    known = {id_: size for id_, size in sizes.items() if isinstance(size, int)}
    most = max(known.values(), default=1)
    return {id_: known.get(id_, most) for id_ in files}
