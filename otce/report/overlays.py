"""Figures of risk maps over their images, as PNG."""

from io import BytesIO
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from otce.maps import PixelMap
from otce.patches import PatchMap
from otce.report.svg import drawing, printable

_COLORS: Final = "viridis"
"""Perceptually uniform, in grey as well, and for colour-blind eyes."""
_PANEL_INCHES: Final = 4.0
_DPI: Final = 100
_MOST_SIDE_PX: Final = 640
"""Pixels a side that a panel shows; more would not be seen."""
_PHOTO: Final = 0.4
"""How much of the photo shines through."""
_UNSCORED: Final = (0.80, 0.70)
"""Greys of the hatching, which no value of the scale has."""
_HATCH_PX: Final = 6


def overlay(
    image: NDArray[np.uint8],
    found: PixelMap,
    *,
    title: str,
    ceiling_nats: float,
    patches: PatchMap | None = None,
) -> bytes:
    """Draw the risk of an image's pixels over the image, and its patch-wise map beside it.

    Args:
        image: (H, W, 3) RGB.
        found: its pixel map.
        title: what is shown, any text.
        ceiling_nats: risk at the upper end of the colour scale, positive; what is above has the
            colour of the end.
        patches: its patch-wise map, where there is one.

    Returns:
        A PNG file, the same bytes for the same arguments.
    """
    step = max(1, -(-max(image.shape[:2]) // _MOST_SIDE_PX))
    few = image[::step, ::step]
    panels: list[tuple[str, NDArray[Any]]] = [
        (
            f"risk of each pixel{_mean(found)}",
            _shaded(found.risk_HW[::step, ::step], few, ceiling_nats),
        ),
    ]
    if patches is not None:
        spread = _spread(patches.risk_RC, few.shape[:2])
        panels.append(("risk of each patch", _shaded(spread, few, ceiling_nats)))
    # However long and thin, a panel stays within a square; what is beside it needs some height.
    height, width = (_PANEL_INCHES * side / max(few.shape[:2]) for side in few.shape[:2])
    size = (max(width, 1.5) * len(panels) + 0.9, max(height, 2.0) + 1.0)
    with drawing("map"):
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (name, pixels) in zip(axes, panels, strict=True):
            axis.imshow(pixels, interpolation="nearest")
            axis.set_title(name, fontsize=11)
            axis.set_axis_off()
        _show_scale(figure, list(axes), ceiling_nats)
        figure.suptitle(printable(title), fontsize=12)
        document = BytesIO()
        figure.savefig(document, format="png", metadata={"Software": None})
    return document.getvalue()


def _mean(found: PixelMap) -> str:
    return "" if found.mean_nats is None else f", mean {found.mean_nats:.2f} nats"


def _show_scale(figure: Figure, axes: list[Axes], ceiling_nats: float) -> None:
    scale = ScalarMappable(Normalize(0, ceiling_nats), _COLORS)
    bar = figure.colorbar(scale, ax=axes, extend="max", pad=0.01, aspect=30)
    bar.set_label("risk, nats a pixel (lower is better)")
    dark, light = map(str, reversed(_UNSCORED))
    unscored = Patch(facecolor=light, edgecolor=dark, hatch="////", label="unscored")
    axes[0].legend(
        handles=[unscored], loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False, fontsize=10
    )


def _shaded(risk_HW: NDArray[Any], image: NDArray[np.uint8], ceiling_nats: float) -> NDArray[Any]:
    """Colours of a map over a grey photo; hatched where there is no value."""
    is_scored = np.isfinite(risk_HW)
    colors = colormaps[_COLORS](np.where(is_scored, risk_HW, 0) / ceiling_nats)[..., :3]
    grey = _stretched(image @ np.array([0.2126, 0.7152, 0.0722]))
    mixed = (1 - _PHOTO) * colors + _PHOTO * grey[..., None]
    y_px, x_px = np.indices(risk_HW.shape)
    hatching = np.where((y_px + x_px) % (2 * _HATCH_PX) < _HATCH_PX, *_UNSCORED)
    return np.asarray(np.where(is_scored[..., None], mixed, hatching[..., None]))


def _stretched(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Use all of 0..1, so that a photo taken at night can be made out as well."""
    low, high = np.quantile(grey, (0.01, 0.99))
    return np.asarray(np.clip((grey - low) / max(high - low, 1), 0, 1))


def _spread(risk_RC: NDArray[Any], size_px: tuple[int, ...]) -> NDArray[Any]:
    """Repeat the value of each patch over its pixels."""
    rows, columns = (
        (np.arange(side) * count) // side
        for side, count in zip(size_px, risk_RC.shape, strict=True)
    )
    return np.asarray(risk_RC[rows[:, None], columns[None, :]])
