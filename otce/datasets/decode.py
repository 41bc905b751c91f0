"""Bytes to pixels: images as RGB, label masks as class ids, everything unclear refused.

JPEG and PNG are read and nothing else: other formats bring other programs (Pillow hands PostScript
to Ghostscript), and data must not choose what runs.
"""

import struct
import zlib
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from otce.errors import CorruptDataError, DataError

_ORIENTATION: Final = 0x0112
_IMAGE_MODES: Final = {"RGB", "L", "P", "RGBA", "LA", "CMYK", "1"}
_LABEL_MODES: Final = {"L", "P", "1", "I;16"}
_BYTE_MODES: Final = {"L", "P"}
# Opened by their own classes, without Pillow's limit of pixels: ours is the configured one.
_FORMATS: Final = {b"\x89PNG\r\n\x1a\n": PngImageFile, b"\xff\xd8\xff": JpegImageFile}
# What Pillow lets through from broken files.
_BROKEN: Final = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def decode_image(data: bytes, where: str, *, max_px: int) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG photo.

    Args:
        data: the bytes of the file.
        where: what to call it in errors.
        max_px: most pixels that are decoded.

    Returns:
        (H, W, 3) uint8, RGB; grey is repeated, alpha dropped, CMYK converted.

    Raises:
        CorruptDataError: neither a JPEG nor a PNG image, or a broken one.
        DataError: too large, 16 bits a channel, or turned by its EXIF orientation.
    """
    image = _open(data, where, max_px)
    if image.mode not in _IMAGE_MODES or ";16" in _stored_as(image):
        raise DataError(
            f"{where}: an image of mode {image.mode}, stored as {_stored_as(image)}; 8-bit "
            f"{', '.join(sorted(_IMAGE_MODES))} images are read; convert it"
        )
    orientation = _loaded(image, where).getexif().get(_ORIENTATION, 1)
    if orientation != 1:
        raise DataError(
            f"{where}: EXIF orientation {orientation} says that it must be turned, and nothing "
            "says whether its label was; save it upright"
        )
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def decode_label(data: bytes, where: str, *, max_px: int) -> NDArray[np.unsignedinteger]:
    """Decode a label mask without interpreting it; palette indices, not palette colours.

    Args:
        data: the bytes of the file.
        where: what to call it in errors.
        max_px: most pixels that are decoded.

    Returns:
        (H, W) uint8 or uint16, the values as they are in the file.

    Raises:
        CorruptDataError: no PNG image, or a broken one.
        DataError: too large, a colour image, a JPEG (which changes values), or grey of 2 or 4 bits
            (of which programs disagree whether values are ids or shares of white).
    """
    values = np.asarray(_label(data, where, max_px))
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def count_values(
    data: bytes, where: str, *, max_px: int
) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Count the pixels of each value of a label mask, with next to no work beside its decoding.

    Args:
        data: the bytes of the file.
        where: what to call it in errors.
        max_px: most pixels that are decoded.

    Returns:
        Height and width, and (values,) int64 pixels of each value from 0.

    Raises:
        DataError: as for `decode_label`.
    """
    image = _label(data, where, max_px)
    if image.mode in _BYTE_MODES:
        # A third of the time of NumPy's count, which first makes every byte eight.
        counts = np.array(image.histogram(), dtype=np.int64)
    else:
        values = np.asarray(image).astype(np.int64).reshape(-1)
        counts = np.bincount(values).astype(np.int64)
    return (image.height, image.width), counts


def _label(data: bytes, where: str, max_px: int) -> Image:
    image = _open(data, where, max_px)
    if isinstance(image, JpegImageFile):
        raise DataError(
            f"{where}: a label mask as JPEG, which changes values; masks are PNG files; make it "
            "anew from its origin"
        )
    if image.mode not in _LABEL_MODES or _stored_as(image) in {"L;2", "L;4"}:
        raise DataError(
            f"{where}: a label mask of mode {image.mode}, stored as {_stored_as(image)}; masks "
            "have one channel of class ids (grey of 1, 8 or 16 bits, or palette); save ids as "
            "such, and turn the colours of a colour map into ids first"
        )
    return _loaded(image, where)


def _open(data: bytes, where: str, max_px: int) -> Image:
    opener = next((kind for magic, kind in _FORMATS.items() if data.startswith(magic)), None)
    if opener is None:
        raise CorruptDataError(
            f"{where}: {len(data)} bytes that are neither a JPEG nor a PNG image; convert or "
            "replace it"
        )
    try:
        image: Image = opener(BytesIO(data))
    except _BROKEN as error:
        raise CorruptDataError(
            f"{where}: no image can be read from it ({error}); replace it"
        ) from error
    width, height = image.size
    if width * height > max_px:
        raise DataError(
            f"{where}: {width}x{height} pixels; at most {max_px} are decoded; raise max_image_px "
            "if it is meant to be so large"
        )
    return image


def _stored_as(image: Image) -> str:
    """Channels and bits in the file; Pillow's mode tells what they become."""
    return str(image.tile[0].args) if isinstance(image, PngImageFile) and image.tile else image.mode


def _loaded(image: Image, where: str) -> Image:
    try:
        image.load()
        image.getexif()
    except _BROKEN as error:
        raise CorruptDataError(f"{where}: the image is corrupt ({error}); replace it") from error
    return image
