"""One item of a data set, and the errors that name it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One image and its label mask.

    Attributes:
        id: unique within the data set.
        image: where the image is: a URI, or a name for images drawn by code.
        label: where the label mask is.
    """

    id: str
    image: str
    label: str


def listing(names: list[str], most: int = 8) -> str:
    """Write names for an error message without flooding it.

    Args:
        names: what to list.
        most: how many to spell out.

    Returns:
        The first names and the count of the others.

    Example:
        >>> listing(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
