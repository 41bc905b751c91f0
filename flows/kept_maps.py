"""Figures that `otce map` left with a run, for its report."""

import json
from typing import Any, Final

from otce.errors import StoreError
from otce.report.risks import Overlay
from otce.storage.store import Store

MOST_PAIRS: Final = 3
MOST_IMAGES: Final = 3
"""Images of a pair."""
MOST_BYTES: Final = 1_000_000
"""Of a figure; what is larger is named and not shown."""


def kept_overlays(store: Store, folder: str) -> list[Overlay]:
    """Read the figures of a run's maps, of a few images of a few pairs.

    Args:
        store: the store.
        folder: key of the run.

    Returns:
        The figures by pair, each pair's in the order of its description.

    Raises:
        StoreError: a description is damaged, or the store refuses.
    """
    maps = f"{folder}/maps"
    keys = set(store.names(maps))
    described = sorted(key for key in keys if key.endswith("/maps.json"))[:MOST_PAIRS]
    return [
        _overlay(store, f"{maps}/{file}", about, image)
        for key in described
        for about in [_description(store, f"{maps}/{key}")]
        for image in about["images"][:MOST_IMAGES]
        # Only what was listed is read, whatever a description names.
        if (file := f"{key.removesuffix('maps.json')}{image['name']}.png") in keys
    ]


def _description(store: Store, key: str) -> dict[str, Any]:
    try:
        found = json.loads(store.get(key))
    except ValueError as error:
        raise StoreError(
            f"{store.uri}/{key} is damaged ({error}); delete its folder, or write it again by "
            "otce map"
        ) from error
    return dict(found)


def _overlay(store: Store, key: str, about: dict[str, Any], image: dict[str, Any]) -> Overlay:
    figure = store.get(key)
    return Overlay(
        pair_fingerprint=about["pair_fingerprint"],
        source_model=about["source_model"],
        target_dataset=about["target_dataset"],
        image=image["id"],
        mean_nats=image["mean_nats"],
        png=figure if len(figure) <= MOST_BYTES else None,
    )
