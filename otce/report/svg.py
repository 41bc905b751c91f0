"""What every figure is made with: a style, a canvas, and an SVG element that may stand in HTML.

Text stays text (it scales, can be searched and takes the page's font), equal data gives equal
bytes, and no global state of matplotlib is left changed.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final
from xml.etree import ElementTree as ET

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1d2433", "#5b6472", "#dde1e7"
ACCENT, ALARM, UNRANKED = "#0b5cad", "#b3401f", "#8a93a1"

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a `$` in an id is a `$`
    "axes.unicode_minus": False,  # as in the tables, where it can be searched for
    "font.size": 12,
    "font.sans-serif": ["DejaVu Sans"],  # measures the text; the page says which font draws it
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
_PX_PER_INCH = 72  # matplotlib's SVG unit, a CSS pixel on the page
_LONGEST_LABEL = 44


def printable(text: str) -> str:
    """Make a text fit for a figure: no control characters, and not too long.

    Args:
        text: any text.

    Returns:
        At most 44 characters that XML can hold.
    """
    # XML has no control characters and a plot no line breaks.
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return visible if len(visible) <= _LONGEST_LABEL else visible[: _LONGEST_LABEL - 1] + "…"


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Draw in the report's style, whatever matplotlib is set to.

    Args:
        name: tells this figure's ids from those of the page's other figures.

    Yields:
        Nothing; figures made and written inside have the style.
    """
    with warnings.catch_warnings(), style.context(["default", _STYLE | {"svg.hashsalt": name}]):
        # About glyphs its own font lacks; the browser draws the text, with fonts that have them.
        warnings.simplefilter("ignore", UserWarning)
        yield


def canvas(body_px: tuple[int, int], *, left_px: int, bottom_px: int = 48) -> tuple[Figure, Axes]:
    """Make an empty figure without frame or background.

    Args:
        body_px: width and height of what is between the axes, in CSS pixels.
        left_px: room for what stands left of it.
        bottom_px: room for what stands below it.

    Returns:
        The figure and its axes.
    """
    top_px, right_px = 6, 16
    width, height = left_px + body_px[0] + right_px, top_px + body_px[1] + bottom_px
    figure = Figure(figsize=(width / _PX_PER_INCH, height / _PX_PER_INCH))
    figure.patch.set_visible(False)
    axes = figure.add_axes(
        (left_px / width, bottom_px / height, body_px[0] / width, body_px[1] / height)
    )
    axes.patch.set_visible(False)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(UNRANKED)
    axes.tick_params(which="both", length=0, pad=6)
    axes.set_axisbelow(True)
    return figure, axes


def inline_svg(figure: Figure, description: str) -> str:
    """Reduce matplotlib's document to an element that may stand in HTML beside others.

    Args:
        figure: what was drawn.
        description: what is read out instead of it.

    Returns:
        An `<svg>` element.
    """
    document = BytesIO()
    unwritten = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(document, format="svg", metadata=unwritten)
    root = ET.fromstring(document.getvalue())  # noqa: S314 - written one line above
    for element in root.iter():
        _simplify(element)
    # Its style rule would hold for the whole page.
    root.remove(next(iter(root.findall("defs"))))
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib |= {"width": width, "height": height, "role": "img", "aria-label": description}
    return ET.tostring(root, encoding="unicode")


def _simplify(element: ET.Element) -> None:
    element.tag = _local(element.tag)
    element.attrib = {_local(name): value for name, value in element.attrib.items()}
    if element.tag == "g":
        element.attrib.pop("id", None)  # never referred to, and the same in every figure
    if element.tag != "text":
        element.text = None
    if element.attrib.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    element.tail = None


def _local(name: str) -> str:
    return name.rpartition("}")[2]
