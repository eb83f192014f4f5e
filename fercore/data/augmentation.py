"""Faces as a network sees them: normalised, augmented in training, in views at prediction."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from fercore.config import NORMALISATIONS, VIEWS


@dataclass(frozen=True)
class Augmentation:
    """How much a training face is changed at random, uniformly: by ± `rotation` degrees, along each
    axis by ± `shift` of the width, 1 ± `zoom` times as large; `flip` mirrors half of the faces;
    `erasing`: the probability that a rectangle of 2 to 20 % of the area is filled with the face's
    mean (Zhong et al. 2020, arXiv:1708.04896); `sharp`: the share of faces that are only shifted by
    whole pixels and mirrored, so that nothing is interpolated; `degrading`: the probability that a
    face gets noise or is compressed, as pictures are (Hendrycks, Dietterich 2019,
    arXiv:1903.12261)."""

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    erasing: float = 0.0
    sharp: float = 0.0
    degrading: float = 0.0


def augmentation(recipe) -> Augmentation:
    """The settings of a `recipes.Recipe` for augmentation."""
    return Augmentation(**{one.name: getattr(recipe, one.name) for one in fields(Augmentation)})


@dataclass(frozen=True)
class View:
    """A face `zoom` times as large, turned `rotation` degrees about the centre, then mirrored."""

    mirror: bool = False
    zoom: float = 1.0
    rotation: float = 0.0


PLAIN = View()


def views(number: int) -> list[View]:
    """The views of a face whose probabilities are averaged, 1, 2 or 10: the face; its mirror image;
    both smaller, larger, turned left and right. `ValueError` for another number."""
    if number not in VIEWS:
        raise ValueError(f"views {number!r} is not one of {', '.join(map(str, VIEWS))}")
    others = [(0.9, 0), (1.1, 0), (1, -8), (1, 8)] if number == 10 else []
    return [View(m, *how) for how in [(1, 0), *others] for m in (False, True)[:number]]


def seen(images: np.ndarray, view: View) -> np.ndarray:
    """Images uint8 [n, h, w] in one view; border pixels are repeated outwards."""
    if (view.zoom, view.rotation) != (1, 0):
        height, width = images.shape[1:]
        centre = (width - 1) / 2, (height - 1) / 2
        matrix = cv2.getRotationMatrix2D(centre, view.rotation, view.zoom)
        images = _warped(images, [matrix] * len(images))
    return images[:, :, ::-1] if view.mirror else images


def normalise(images: np.ndarray, how: str = "standardise") -> np.ndarray:
    """Gray images uint8 [n, h, w] to float32 [n, h, w, 1]. `how`: 'standardise', each face to mean
    0 and standard deviation 1 (a constant one to 0); 'unit', 0..1; 'raw', 0..255."""
    pixels = images.astype(np.float32)[..., None]
    if how == "raw":
        return pixels
    if how == "unit":
        return pixels / 255
    if how == "standardise":
        pixels -= pixels.mean(axis=(1, 2), keepdims=True)
        return pixels / np.maximum(pixels.std(axis=(1, 2), keepdims=True), 1.0)
    raise ValueError(f"normalisation {how!r} is not one of {', '.join(NORMALISATIONS)}")


def crop(images: np.ndarray, side: int | None) -> np.ndarray:
    """The middle `side` x `side` pixels of images [n, h, w]; all for None. Raises `ValueError`."""
    if side is None:
        return images
    height, width = images.shape[1:3]
    left, top = (width - side) // 2, (height - side) // 2
    if min(left, top) < 0:
        raise ValueError(f"crop of {side} pixels: leaves the {width}×{height} picture")
    return images[:, top : top + side, left : left + side]


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Square images uint8 [n, h, h] at `side` x `side` pixels, areas averaged."""
    if images.shape[1] == side or not len(images):
        return images
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in images])


def augment(
    images: np.ndarray, rng: np.random.Generator, how: Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Augment each of images uint8 [n, h, w] at random; border pixels are repeated outwards. Also
    bool [n]: which faces were mirrored, so that a descriptor can follow."""
    mirrored = rng.random(len(images)) < (0.5 if how.flip else 0.0)
    matrices = _affine_matrices(rng, mirrored, how, np.array(images.shape[:0:-1]))
    if replace(how, sharp=0.0) == Augmentation():
        return images, mirrored
    augmented = _warped(images, matrices)
    if how.erasing:
        for k in np.flatnonzero(rng.random(len(images)) < how.erasing):
            _erase(augmented[k], rng)
    if how.degrading:
        for k in np.flatnonzero(rng.random(len(images)) < how.degrading):
            augmented[k] = _degraded(augmented[k], rng)
    return augmented, mirrored


def _warped(images: np.ndarray, matrices: Iterable[np.ndarray]) -> np.ndarray:
    warped = np.empty_like(images)
    for image, matrix, target in zip(images, matrices, warped, strict=True):
        cv2.warpAffine(image, matrix, image.shape[::-1], target, borderMode=cv2.BORDER_REPLICATE)
    return warped


def _affine_matrices(rng, mirrored: np.ndarray, how: Augmentation, size: np.ndarray) -> np.ndarray:
    """One matrix per face, float64 [n, 2, 3]: flip, rotate and zoom about the centre, shift."""
    n = len(mirrored)
    angle = np.deg2rad(rng.uniform(-1, 1, n) * how.rotation)
    zoom = 1 + rng.uniform(-1, 1, n) * how.zoom
    shift = rng.uniform(-1, 1, (n, 2)) * how.shift * size
    if how.sharp:  # without it no number is drawn: the others stay as they are
        kept = rng.random(n) < how.sharp
        angle[kept], zoom[kept], shift[kept] = 0, 1, np.round(shift[kept])
    linear = np.empty((n, 2, 2))
    linear[:, 0, 0] = linear[:, 1, 1] = zoom * np.cos(angle)
    linear[:, 0, 1] = -zoom * np.sin(angle)
    linear[:, 1, 0] = -linear[:, 0, 1]
    linear[mirrored, :, 0] *= -1
    centre = (size - 1) / 2
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _erase(image: np.ndarray, rng: np.random.Generator) -> None:
    height, width = image.shape
    area, ratio = rng.uniform(0.02, 0.2) * height * width, np.exp(rng.uniform(-1, 1))
    h, w = min(height, round(np.sqrt(area * ratio))), min(width, round(np.sqrt(area / ratio)))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    image[top : top + h, left : left + w] = image.mean()


def _degraded(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With noise of a deviation up to 12 gray levels, or after JPEG of a quality from 20 to 80."""
    if rng.random() < 0.5:
        return np.clip(image + rng.normal(0, rng.uniform(0, 12), image.shape), 0, 255).round()
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 81))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_GRAYSCALE))
