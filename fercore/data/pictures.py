"""The one reader of pictures: files, folders, bytes, Pillow images and arrays become RGB bytes."""

import io
import logging
import os
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fercore.artifacts import printable
from fercore.data.faces import SIDE

MAX_PIXELS = 120_000_000  # 360 MB as RGB; more than most cameras have
MOST = f"at most {MAX_PIXELS / 1e6:.0f} are read; make it smaller first"
_OTHERS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".pgm", ".ppm", ".pbm")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", *_OTHERS)
STRIP = 1 << 20  # pixels converted at a time: a picture is in memory once beside the result

log = logging.getLogger(__name__)


class PictureError(ValueError):
    """A picture that cannot be read or understood, in one line."""


def read(source, name: str = "", smallest: int | None = None) -> np.ndarray:
    """A picture, uint8 [h, w, 3] RGB, upright as its EXIF data say; the first one of an animation.

    `source`: a path, the bytes of a file, a file opened in binary mode, a Pillow image, or an array
    as `as_rgb` takes it; `name`: what errors call it. A JPEG may be reduced while it is decoded,
    to sides of at least `smallest` pixels. Raises `PictureError` for what is missing, damaged,
    larger than `MAX_PIXELS` or no picture.
    """
    if isinstance(source, np.ndarray):
        return as_rgb(source)
    if isinstance(source, Image.Image):
        return _decoded(source, printable(name or "a Pillow image"), None)
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = io.BytesIO(source)
        if not source.getbuffer().nbytes:
            raise PictureError(f"{printable(name or 'a picture')}: the file is empty")
    elif isinstance(source, (str, Path)):
        source = Path(source)
        name = name or source.name
        if os.path.exists(source) and not os.path.isfile(source):  # opening a FIFO would wait
            kind = "a folder" if os.path.isdir(source) else "not a file that can be read"
            raise PictureError(f"{printable(source)}: {kind}, not a picture")
        if os.path.isfile(source) and not os.path.getsize(source):
            raise PictureError(f"{printable(source.name)}: the file is empty")
    elif not hasattr(source, "read"):
        kinds = "a path, bytes, a file, a Pillow image or an array"
        raise PictureError(f"{type(source).__name__} is no picture; give {kinds}")
    return _decoded(source, printable(name or getattr(source, "name", "a picture")), smallest)


def as_rgb(array: np.ndarray) -> np.ndarray:
    """An array as uint8 [h, w, 3] RGB. Shapes: [h, w] and [h, w, 1] gray, [h, w, 3] RGB, [h, w, 4]
    RGB and alpha (laid on white). Values: bool; uint8; uint16, 0..65535; other integers, 0..255;
    floats, 0..1, or 0..255 when any is above 1. Raises `PictureError` for others."""
    array = np.asarray(array)
    values = array[..., None] if array.ndim == 2 else array
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise PictureError(f"an array of shape {array.shape} is no picture; give [h, w, 3]")
    _check_size(values.shape[1], values.shape[0], "an array")
    values = _bytes(values)
    if values.shape[2] == 4:
        share = values[..., 3:].astype(np.float32) / 255
        return np.round(values[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def listed(folder: str | Path) -> list[Path]:
    """The pictures in a folder, by their suffixes, in natural order (2 before 10); other files but
    hidden ones are counted in a warning. Raises `PictureError` for no folder and for no picture."""
    folder = Path(folder)
    try:
        files = [one for one in folder.iterdir() if not (one.name.startswith(".") or one.is_dir())]
        found = [path for path in files if path.suffix.lower() in SUFFIXES and path.is_file()]
    except OSError as error:
        raise PictureError(_unreadable(folder, error)) from error
    if not found:
        known = ", ".join(SUFFIXES)
        raise PictureError(f"{printable(folder)}: no pictures in this folder ({known})")
    others = sorted(path.name for path in set(files).difference(found))
    if others:
        shown = printable(folder), len(others), printable(others[0])
        log.warning("%s: files passed over: %d, first %s", *shown)
    return sorted(found, key=lambda path: natural(path.name.lower()))


def natural(name: str) -> list[str | int]:
    """A sort key that puts face_9 before face_10: text and numbers in turn."""
    parts = re.split(r"(\d+)", name, flags=re.ASCII)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]


def gray(rgb: np.ndarray) -> np.ndarray:
    """RGB bytes as gray ones, uint8 [h, w] (weights of ITU-R BT.601)."""
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def squeezed(rgb: np.ndarray) -> np.ndarray:
    """A picture as gray uint8 [48, 48]; one that is not square is squeezed, not cut."""
    image = gray(rgb)
    how = cv2.INTER_AREA if min(image.shape) >= SIDE else cv2.INTER_CUBIC
    return cv2.resize(image, (SIDE, SIDE), interpolation=how)


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        broken = " (a broken link)" if path.is_symlink() else ""
        return f"{printable(path)}: no such file or folder{broken}"
    return f"{printable(path)}: cannot be read ({getattr(error, 'strerror', error)})"


def _decoded(file, name: str, smallest: int | None) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `MAX_PIXELS` is lower
            with file.copy() if isinstance(file, Image.Image) else Image.open(file) as image:
                if smallest:
                    image.draft(None, (smallest, smallest))
                return _of_pillow(image, name)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: over 178 million pixels, {MOST}") from None
    except UnidentifiedImageError:
        fault = "no picture, whatever its name says; give a JPEG or a PNG"
        raise PictureError(f"{name}: {fault}") from None
    except Exception as error:  # Pillow's decoders fail in many ways
        if isinstance(file, Path) and getattr(error, "strerror", None):
            raise PictureError(_unreadable(file, error)) from error
        fault = printable(str(error) or type(error).__name__)
        raise PictureError(f"{name}: damaged or cut off ({fault}); give a whole picture") from error


def _check_size(width: int, height: int, name: str) -> None:
    if not width * height:
        raise PictureError(f"{name}: a picture of {width}×{height} pixels has nothing to see")
    if width * height > MAX_PIXELS:
        size = f"{width:,}×{height:,} = {width * height / 1e6:.0f}"
        raise PictureError(f"{name}: {size} million pixels, {MOST}")


def _of_pillow(image: Image.Image, name: str) -> np.ndarray:
    """The pixels of a Pillow picture of any mode, turned upright, converted in strips."""
    _check_size(*image.size, name)
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's preview
        log.warning("%s: an animation or several pages, of which the first is read", name)
    ImageOps.exif_transpose(image, in_place=True)
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    rows = height if image.mode == "F" else max(1, STRIP // width)  # a float's range is the whole's
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if image.mode.startswith("I"):  # 16 bits, whatever the file calls them
            values = np.clip(np.asarray(strip), 0, 65535).astype(np.uint16)
        elif image.mode == "F":
            values = np.asarray(strip)
        else:
            values = np.asarray(strip.convert("RGBA" if image.has_transparency_data else "RGB"))
        rgb[top : top + rows] = as_rgb(values)
    return rgb


def _bytes(array: np.ndarray) -> np.ndarray:
    """Values of any type as uint8."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return np.round(array / 257).astype(np.uint8)
    if array.dtype.kind not in "biuf":
        raise PictureError(f"an array of {array.dtype} is no picture; give numbers")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # NaN fails as well
        raise PictureError(f"values from {low:g} to {high:g} are no picture; give 0..1 or 0..255")
    return np.round(array * (255 if array.dtype.kind in "bf" and high <= 1 else 1)).astype(np.uint8)
