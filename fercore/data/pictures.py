"""Pictures of any kind become RGB bytes: files, folders, arrays. What cannot is one clear line."""

import io
import re
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# 360 MB as RGB; twelve times a common camera's, and more than most telephones'
MAX_PIXELS = 120_000_000
SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".pgm",
    ".ppm",
    ".pbm",
    ".avif",
)


class PictureError(ValueError):
    """A picture that cannot be read or understood."""


def read(path: str | Path) -> np.ndarray:
    """The picture in a file, uint8 [h, w, 3] RGB, upright as its EXIF data say; the first one of an
    animation.

    Its size is looked at before its pixels are: more than `MAX_PIXELS` are refused. Raises
    `PictureError` for a file that is missing, empty, damaged, too large or no picture.
    """
    path = Path(path)
    _check_file(path)
    return _decoded(path, path.name)


def read_bytes(content: bytes, name: str) -> np.ndarray:
    """The picture in the bytes of a file, as `read` gives it. Raises `PictureError`, which calls
    the file `name`."""
    if not content:
        raise PictureError(f"{name}: the file is empty")
    return _decoded(io.BytesIO(content), name)


def _decoded(file: Path | BinaryIO, name: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # `MAX_PIXELS` stands below that warning
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                _check_size(image.size, name)
                return _pixels(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise PictureError(_too_large(name, "more than 178")) from None
    except UnidentifiedImageError:
        raise PictureError(
            f"{name}: no picture, whatever its name says; give a JPEG, PNG, WebP, TIFF or the like"
        ) from None
    except PictureError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise PictureError(f"{name}: damaged or cut off ({error}); give a whole picture") from error


def as_rgb(array: np.ndarray) -> np.ndarray:
    """An array as uint8 [h, w, 3] RGB.

    Shapes: [h, w] and [h, w, 1] gray, [h, w, 3] RGB, [h, w, 4] RGB and alpha (laid on white).
    Values: bool; uint8; uint16, 0..65535; other integers, 0..255; floats, 0..1, or 0..255 when any
    of them is above 1. Raises `PictureError` for other shapes and values and for a picture without
    pixels.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise PictureError(
            f"an array of shape {array.shape} is no picture; give [h, w], [h, w, 3] or [h, w, 4]"
        )
    if not array.size:
        raise PictureError(
            f"a picture of {array.shape[1]}×{array.shape[0]} pixels has nothing to see"
        )
    _check_size((array.shape[1], array.shape[0]), "an array")
    values = _bytes(array)
    if values.ndim == 2 or values.shape[2] == 1:
        return np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    return _on_white(values) if values.shape[2] == 4 else values


def listed(folder: str | Path) -> list[Path]:
    """The pictures that lie in a folder, by the suffixes of their names, in their natural order (2
    before 10).

    Subfolders and hidden files are left out. Raises `PictureError` when the folder is missing or
    has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(f"{folder}: no such folder")
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise PictureError(f"{folder}: no pictures in this folder ({', '.join(SUFFIXES)})")
    return sorted(
        found,
        key=lambda path: [
            (part.isdigit(), int(part) if part.isdigit() else 0, part)
            for part in re.split(r"(\d+)", path.name.lower())
        ],
    )


def gray(rgb: np.ndarray) -> np.ndarray:
    """RGB bytes as gray ones, uint8 [h, w] (weights of ITU-R BT.601)."""
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise PictureError(f"{path}: a folder, not a picture")
    if not path.exists():
        raise PictureError(f"{path}: no such file")
    if not path.stat().st_size:
        raise PictureError(f"{path.name}: the file is empty")


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if not width * height:
        raise PictureError(f"{name}: a picture of {width}×{height} pixels has nothing to see")
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(name, f"{width:,}×{height:,} = {width * height / 1e6:.0f}"))


def _too_large(name: str, megapixels: str) -> str:
    return f"{name}: {megapixels} million pixels, at most {MAX_PIXELS / 1e6:.0f} are read; make it smaller first"


def _pixels(image: Image.Image) -> np.ndarray:
    """The pixels of a Pillow picture of any mode."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N"):
        return as_rgb(np.asarray(image).astype(np.uint16))
    if image.mode == "I":  # what older files hold as 16 bits
        return as_rgb(np.clip(np.asarray(image), 0, 65535).astype(np.uint16))
    if image.mode == "F":
        return as_rgb(np.asarray(image))
    alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    return as_rgb(np.asarray(image.convert("RGBA" if alpha else "RGB")))


def _bytes(array: np.ndarray) -> np.ndarray:
    """Values of any type as uint8."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return np.round(array / 257).astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise PictureError(f"an array of {array.dtype} is no picture; give numbers")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # NaN fails as well
        raise PictureError(f"values from {low:g} to {high:g} are no picture; give 0..1 or 0..255")
    scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
    return np.round(array * scale).astype(np.uint8)


def _on_white(values: np.ndarray) -> np.ndarray:
    alpha = values[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(values[..., :3])
    share = alpha.astype(np.float32) / 255
    return np.round(values[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
