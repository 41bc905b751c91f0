"""What single images do to scores and to measured transfer, laid out by model.

Legend: `M` models of a target, `S` training seeds, `I` images, `C` target classes.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from otce.intervals import Side
from otce.transfer.confusion import Confusion
from otce.truth.cell import HeldBack, Spreads


def spread_by_data_set(sides: Sequence[Sequence[Side] | None]) -> Spreads:
    """Lay out how images move one score of several models.

    Args:
        sides: of each model, None where they are not known.

    Returns:
        By digest of a data set (M, I), 0 for images that a model's score did not see; as many
        images as the last one that any of the models saw.

    Example:
        >>> one = Side("ab", np.array([0, 2]), np.array([-0.5, 0.5]))
        >>> spread_by_data_set([[one], None])["ab"].tolist()
        [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    seen: dict[str, int] = {}
    for side in (side for known in sides for side in known or ()):
        seen[side.digest] = max(seen.get(side.digest, 0), int(side.items[-1]) + 1)
    spreads = {digest: np.zeros((len(sides), size)) for digest, size in seen.items()}
    for model, known in enumerate(sides):
        for side in known or ():
            spreads[side.digest][model, side.items] += side.spread
    return spreads


def held_back(
    images: Mapping[tuple[str, str], Confusion | None],
    models: Sequence[str],
    seeds: Sequence[str],
) -> HeldBack | None:
    """Lay out the pixels of the images that judged.

    Args:
        images: by model and seed; a training that was not made is not there.
        models: M ids.
        seeds: S seeds.

    Returns:
        The pixels; None where they are not known of every training, or not the same images.
    """
    known = [one for one in images.values() if one is not None]
    if not known or len(known) < len(images):
        return None
    labelled = known[0].labelled
    if any(not np.array_equal(one.labelled, labelled) for one in known):
        return None
    shape = (len(models), len(seeds), *labelled.shape)
    right, union = np.zeros(shape), np.ones(shape)
    for (m, model), (s, seed) in product(enumerate(models), enumerate(seeds)):
        one = images.get((model, seed))
        if one is not None:
            right[m, s] = one.right
            union[m, s] = one.labelled + one.predicted - one.right
    return HeldBack(right, union, labelled.astype(np.float64))
