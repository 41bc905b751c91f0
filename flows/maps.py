"""Maps of single target images, and what the score of a pair is made of."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from io import BytesIO
from typing import Any, Final

import numpy as np

from flows.draws import FirstDraw, first_draw, open_source, reader
from flows.export import close
from flows.history import pinned
from flows.progress import Progress
from otce.boundary import RADIUS_PX
from otce.config import RunConfig
from otce.correspondence import averaged
from otce.errors import ConfigError, DataError
from otce.explain import Part, by_boundary, by_class, by_frequency, by_image
from otce.fingerprint import digest
from otce.maps import CoupledDraw, couple_draw, pixel_map
from otce.metric_recipe import metric_recipe
from otce.patches import PlacedPixels, patch_map, placed, pooled
from otce.report.overlays import overlay
from otce.storage.files import absolute_uri, join
from otce.storage.store import Store

_HARDEST: Final = 3
_LISTED: Final = 20
"""Hardest images that the description names."""
_PATCH_ROWS: Final = 15
_PATCH_PX: Final = 400
"""Pixels a side that a patch is scored with, about."""
_SOURCE_IMAGES: Final = 20
"""Source images that are pooled for patches, as in the paper's code."""
_CEILING: Final = 0.95
"""Share of the drawn target pixels whose risk the colour scale covers."""
_LEAST_CEILING_NATS: Final = 0.1
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class MapOutcome:
    """What was written.

    Attributes:
        folder: path or URI.
        otce: score of the draw in nats.
        images: a row an image: its id, its file name without ending, mean risk, scored pixels.
    """

    folder: str
    otce: float
    images: list[dict[str, Any]]


def map_pair(
    config: RunConfig,
    model_id: str,
    target_id: str,
    progress: Progress,
    *,
    image_ids: Sequence[str] = (),
    out: str | None = None,
    with_patches: bool = False,
) -> MapOutcome:
    """Couple the first draw of a pair, extend it to target images, and write what comes of it.

    Args:
        config: a run as it was written.
        model_id: one of its models.
        target_id: one of its targets.
        progress: told of each image.
        image_ids: target images; none: the three hardest, by the mean risk of their drawn pixels.
        out: path or URI of a folder; none: in the store, with the run.
        with_patches: make patch-wise maps as well, which takes the source images.

    Returns:
        What was written.

    Raises:
        ConfigError: there is no such model, target or image.
        OtceError: data, model or store cannot be used, or the coupling is not solved.
    """
    found = first_draw(config if out else pinned(config), model_id, target_id, progress)
    config = found.config
    recipe = metric_recipe("otce", config.score)
    del recipe["epsilon_curve"]
    pool = _source_pool(found, model_id, progress) if with_patches else None
    progress.say("coupling")
    draw = couple_draw(
        found.source.features,
        found.source.labels,
        found.features,
        found.sample.label,
        **recipe,
        device=str(found.model.device),
    )
    hardest = by_image(draw.score.pixel_risk, found.sample.item)
    positions = _chosen(found, image_ids, hardest)
    execution = config.execution
    default = join(
        execution.store,
        f"runs/{config.run_id}/maps/{file_name(model_id)}/{file_name(target_id)}",
    )
    store = Store(absolute_uri(out, ".") if out else default, execution.storage_options)
    progress.expect("maps", len(positions))
    images = []
    for position in positions:
        images.append(_write_map(found, draw, position, store, pool, recipe))
        progress.advance("maps")
    # Last, so that a folder with a description is a whole one.
    store.put_json("maps.json", _description(found, draw, hardest) | {"images": images})
    return MapOutcome(store.uri, draw.score.otce, images)


def file_name(id_: str) -> str:
    """Make a file name of any id: itself where that is safe, otherwise what is safe and a digest.

    Args:
        id_: any text.

    Returns:
        At most 64 letters, digits, `.`, `_` and `-`; no two ids share one.

    Example:
        >>> file_name("0001TP_006690"), file_name("birch/000003")
        ('0001TP_006690', 'birch-000003-4e2ff75e')
    """
    if _SAFE_NAME.fullmatch(id_):
        return id_
    safe = re.sub(r"[^A-Za-z0-9_]+", "-", id_).strip("-")[:48]
    return f"{safe or 'image'}-{digest(id_.encode(errors='surrogatepass'))[:8]}"


def _chosen(found: FirstDraw, ids: Sequence[str], hardest: Sequence[Part]) -> list[int]:
    if not ids:
        return [int(part.key) for part in hardest[:_HARDEST]]
    positions = {item.id: n for n, item in enumerate(found.target.dataset.items)}
    for id_ in ids:
        if id_ not in positions:
            raise ConfigError(f"the target has no image {id_!r}{close(id_, positions)}")
    return [positions[id_] for id_ in dict.fromkeys(ids)]


def _write_map(
    found: FirstDraw,
    draw: CoupledDraw,
    position: int,
    store: Store,
    pool: PlacedPixels | None,
    recipe: dict[str, Any],
) -> dict[str, Any]:
    """Map one image and write its files; returns its row of the description."""
    item = found.target.dataset.items[position]
    image = reader(found.target)(position)
    label_HW = found.target.dataset.label(item, found.target.digests[position][1])
    map_Dhw = found.model.features([image])[0][0]
    pixels = pixel_map(draw, map_Dhw, label_HW)
    arrays = {
        "risk": pixels.risk_HW,
        "mask": pixels.mask_HW,
        "served": pixels.served_HW,
        "source_classes": pixels.source_classes,
        "target_classes": pixels.target_classes,
    }
    patches = None
    if pool is not None:
        rows, columns = patch_grid(*image.shape[:2])
        every_px = _every(image.shape[0] * image.shape[1], rows * columns)
        target = placed(map_Dhw, label_HW, every_px=every_px)
        patches = patch_map(pool, target, rows=rows, columns=columns, **recipe)
        arrays |= {"patch_risk": patches.risk_RC, "patch_normalized": patches.normalized_RC}
    name = file_name(item.id)
    file = BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    store.put(f"{name}.npz", file.getvalue())
    ceiling_nats = _ceiling_nats(draw)
    figure = overlay(image, pixels, title=item.id, ceiling_nats=ceiling_nats, patches=patches)
    store.put(f"{name}.png", figure)
    return {
        "id": item.id,
        "name": name,
        "height_px": image.shape[0],
        "width_px": image.shape[1],
        "scored_px": int(pixels.mask_HW.sum()),
        "mean_nats": pixels.mean_nats,
        "drawn_px": int((found.sample.item == position).sum()),
        "patches": None if patches is None else list(patches.risk_RC.shape),
    }


def _ceiling_nats(draw: CoupledDraw) -> float:
    """Upper end of one colour scale for all images of a pair, whichever are chosen."""
    nats_M = draw.score.pixel_risk / draw.pixels.b_M.cpu().numpy()
    return max(float(np.quantile(nats_M, _CEILING)), _LEAST_CEILING_NATS)


def patch_grid(height_px: int, width_px: int) -> tuple[int, int]:
    """Choose how many patches an image is cut into: 15 rows of about square ones.

    Args:
        height_px: of the image.
        width_px: of the image.

    Returns:
        Rows and columns.

    Example:
        >>> patch_grid(360, 480)
        (15, 20)
    """
    rows = min(_PATCH_ROWS, height_px)
    return rows, min(max(round(rows * width_px / height_px), 1), width_px)


def _every(n_px: int, patches: int) -> int:
    """Step of a grid that leaves a patch about as many pixels as it is scored with."""
    return max(1, math.isqrt(n_px // (patches * _PATCH_PX)))


def _source_pool(found: FirstDraw, model_id: str, progress: Progress) -> PlacedPixels:
    data = open_source(found.config, model_id)
    if data.digest != found.side.source_digest:
        raise DataError(
            f"data set {found.side.source} has digest {data.digest}, not the "
            f"{found.side.source_digest} that model {model_id} was drawn on; do without --patches"
        )
    items = data.dataset.items
    positions = range(0, len(items), -(-len(items) // _SOURCE_IMAGES))
    progress.expect("patch sources", len(positions))
    read, images = reader(data), []
    for position in positions:
        image = read(position)
        label_HW = data.dataset.label(items[position], data.digests[position][1])
        rows, columns = patch_grid(*label_HW.shape)
        every_px = _every(label_HW.size * len(positions), rows * columns)
        images.append(placed(found.model.features([image])[0][0], label_HW, every_px=every_px))
        progress.advance("patch sources")
    return pooled(images)


def _description(found: FirstDraw, draw: CoupledDraw, hardest: Sequence[Part]) -> dict[str, Any]:
    score, side, config = draw.score, found.side, found.config
    risk_M, labels = score.pixel_risk, found.sample.label
    items = found.target.dataset.items
    return {
        "source_model": found.model.id,
        "source_dataset": side.source,
        "target_dataset": found.target_id,
        "run_id": config.run_id,
        "pair_fingerprint": found.pair_fingerprint,
        "weights_digest": side.weights_digest,
        "source_digest": side.source_digest,
        "target_digest": found.target.digest,
        "otce_version": version("otce"),
        "repetition": 0,
        "seed": config.seed,
        "score": config.score.model_dump(mode="json", exclude={"epsilon_curve"}),
        "source_was_kept": found.source_was_kept,
        "n_source_px": len(found.source.labels),
        "n_target_px": len(labels),
        "otce": score.otce,
        "normalized": score.normalized,
        "marginal_error": score.marginal_error,
        "classes": _classes(found, draw),
        "hardest_images": [asdict(p) | {"id": items[int(p.key)].id} for p in hardest[:_LISTED]],
        "boundary_radius_px": RADIUS_PX,
        "boundary": [asdict(part) for part in by_boundary(risk_M, found.sample.boundary)],
        "frequency": [asdict(part) for part in by_frequency(risk_M, labels)],
    }


def _classes(found: FirstDraw, draw: CoupledDraw) -> list[dict[str, Any]]:
    """Cost of each target class, the costliest first, and the source classes that serve it."""
    score, names = draw.score, found.target.dataset.classes
    source_names = tuple(found.side.classes[number] for number in score.source_classes)
    target_names = tuple(names[number] for number in score.target_classes)
    served = averaged(score.joint[None], source_names, target_names)
    place = {int(number): n for n, number in enumerate(score.target_classes)}
    return [
        asdict(part)
        | {"name": names[int(part.key)], "served_by": served.served_by(place[int(part.key)])}
        for part in by_class(score.pixel_risk, found.sample.label)
    ]
