"""What the report says about where a score is lost: parts of the pixels, and maps of images.

Risks are in nats, at least 0, lower is better: those of a cut's parts add up to minus OTCE.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

Row = dict[str, Any]

MOST_IMAGES: Final = 10
"""Hardest images that are named."""


class Overlay(NamedTuple):
    """A figure of an image's risk map.

    Attributes:
        pair_fingerprint: the pair whose coupling was extended to the image.
        source_model: its model.
        target_dataset: its target.
        image: id of the image.
        mean_nats: mean risk of a pixel; None where none could be scored.
        png: the figure; None if it is too large for a page.
    """

    pair_fingerprint: str
    source_model: str
    target_dataset: str
    image: str
    mean_nats: float | None
    png: bytes | None

    @property
    def uri(self) -> str:
        """The figure as a `data:` URI; empty without one."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}" if self.png else ""


class Part(NamedTuple):
    """Some target pixels, and what they cost the best and the worst model."""

    name: str
    share: float
    """Of the drawn target pixels."""
    costs: list[float | None]
    """Each model's risk: its part of H(Y_t | Y_s)."""

    @property
    def per_px(self) -> list[float | None]:
        """Each model's risk a pixel of this part."""
        return [
            cost / self.share if cost is not None and self.share else None for cost in self.costs
        ]


@dataclass(frozen=True, slots=True)
class Risks:
    """Where the best and the worst model of a target lose their scores."""

    models: list[tuple[str, str]]
    """Role, best or worst, and id."""
    cuts: dict[str, list[Part]]
    """Boundary and frequency, as far as known."""
    images: list[Part]
    """The hardest, by the first model's risk a pixel."""
    n_images: int


def best_and_worst(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Choose the first and the last of the rows that have a rank, with their roles."""
    ranked = [row for row in rows if row["rank"] is not None]
    return [*(("best", row) for row in ranked[:1]), *(("worst", row) for row in ranked[1:][-1:])]


def pair_risks(rows: Sequence[Row], risks: pa.Table) -> Risks | None:
    """Gather what parts of the pixels cost a target's best and worst model.

    Args:
        rows: the target's rows of the summary of the metric otce, in its order.
        risks: of schema `otce.tables.RISKS`.

    Returns:
        The parts; None where nothing is known of either model.
    """
    models, found = [], []
    for role, row in best_and_worst(rows):
        own = risks.filter(pc.equal(risks["pair_fingerprint"], row["pair_fingerprint"])).to_pylist()
        if own:
            models.append((role, row["source_model"]))
            found.append(own)
    if not models:
        return None
    cuts = {cut: _parts(found, cut) for cut in ("boundary", "frequency")}
    images = sorted(_parts(found, "image"), key=_hardness)
    return Risks(
        models,
        {cut: parts for cut, parts in cuts.items() if parts},
        images[:MOST_IMAGES],
        len(images),
    )


def _hardness(part: Part) -> tuple[float, str]:
    return -(part.per_px[0] or 0.0), part.name


def _parts(found: Sequence[Iterable[Row]], cut: str) -> list[Part]:
    """Put the parts of all models beside each other, in the order of their keys."""
    by_key = [{row["key"]: row for row in rows if row["cut"] == cut} for rows in found]
    parts = []
    for key in sorted({key for own in by_key for key in own}):
        rows = [own.get(key) for own in by_key]
        one = next(row for row in rows if row)
        costs = [None if row is None else row["risk"] for row in rows]
        parts.append(Part(one["name"], one["share"], costs))
    return parts


def by_model(overlays: Iterable[Overlay], rows: Iterable[Mapping[str, Any]]) -> list[list[Overlay]]:
    """Group the figures of a target's pairs by model, in the order of the ranking.

    Args:
        overlays: of any pairs; those of another recipe than the rows' are left out.
        rows: the target's rows of the summary.

    Returns:
        The figures of each model that has some.
    """
    found: dict[str, list[Overlay]] = {row["pair_fingerprint"]: [] for row in rows}
    for figure in overlays:
        found.get(figure.pair_fingerprint, []).append(figure)
    return [figures for figures in found.values() if figures]
