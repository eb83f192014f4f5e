"""How well detectors find faces, and which crop around their box gives back the accuracy.

python benchmarks/margin.py [--model compact] [--detectors yunet haar] [--faces 600] [--data PATH]
[--out FOLDER]

PublicTest faces of FER2013, 40 to 400 pixels large, are pasted into scikit-image's pictures: as
they are, turned by up to 30°, dark, half covered, in 12 megapixels and in a panorama of 20,000
pixels. Counted: faces found, boxes that are no face, milliseconds of one core a picture.

Faces found as they are and turned are then cut out with each of several margins, levelled by the
eyes or not; the accuracy stands beside that of the same faces as FER2013 has them. The top of a
parabola through these accuracies is the margin that belongs to the detector in detection.py: single
margins differ by chance.

Written to FOLDER (default outputs/published/recogniser): detectors.csv, margin.csv, margin.svg.
"""

import argparse
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import skimage.data
from matplotlib.figure import Figure

from fercore import artifacts, paths
from fercore.data import datasets, splits
from fercore.data.faces import SIDE
from fercore.evaluation import metrics
from fercore.plots import style
from fercore.recognition import inference, recogniser

MARGINS = np.round(np.arange(-0.12, 0.13, 0.03), 2)
BACKGROUNDS = ("coffee", "rocket", "chelsea", "brick", "gravel", "grass")


@dataclass(frozen=True)
class Kind:
    """Scenes of one kind: `size` of the picture, `faces` in each, `sides` of faces in pixels, the
    largest `angle` they are turned by, their `light`, and whether their lower half is `covered`;
    `share` of the faces that are tried."""

    size: tuple[int, int] = (640, 480)
    faces: int = 1
    sides: tuple[int, int] = (60, 240)
    angle: float = 0
    light: float = 1.0
    covered: bool = False
    share: float = 1.0


KINDS = {
    "as they are": Kind(),
    "40 to 60 pixels": Kind(sides=(40, 60), share=0.5),
    "240 to 400 pixels": Kind(sides=(240, 400), share=0.5),
    "turned by up to 30°": Kind(angle=30),
    "dark": Kind(light=0.25, share=0.5),
    "lower half covered": Kind(covered=True, share=0.5),
    "12 megapixels": Kind((4000, 3000), 8, (40, 400), share=0.5),
    "panorama of 20,000 pixels": Kind((20_000, 1500), 16, (40, 400), share=0.5),
}


@dataclass(frozen=True)
class Scene:
    """A picture with faces in it: their `numbers`, and centre x, y and side in pixels, [k, 3]."""

    rgb: np.ndarray
    numbers: list[int]
    places: np.ndarray


def scenes(images: np.ndarray, kind: Kind, seed: int = 0) -> Iterator[Scene]:
    """The faces uint8 [n, 48, 48] at random sizes and places of backgrounds, each in its own
    column."""
    rng = np.random.default_rng(seed)
    backgrounds = [_background(name, kind.size) for name in BACKGROUNDS]
    count = round(kind.share * len(images))
    for number, start in enumerate(range(0, count - kind.faces + 1, kind.faces)):
        rgb, places = backgrounds[number % len(backgrounds)].copy(), []
        width = kind.size[0] / kind.faces
        for k in range(kind.faces):
            angle = rng.uniform(-kind.angle, kind.angle)
            largest = min(kind.sides[1], width / 1.4, kind.size[1] / 1.4)
            side = np.exp(rng.uniform(np.log(kind.sides[0]), np.log(largest)))
            half = side / 2 * (np.cos(np.radians(angle)) + abs(np.sin(np.radians(angle))))
            x = rng.uniform(k * width + half, (k + 1) * width - half)
            y = rng.uniform(half, kind.size[1] - half)
            _paste(rgb, _seen(images[start + k], kind), x, y, side, angle)
            places.append((x, y, side))
        yield Scene(rgb, list(range(start, start + kind.faces)), np.array(places))


def hits(boxes: np.ndarray, scene: Scene) -> dict[int, int]:
    """Which box is which pasted face's, face to box: the first with its centre in the face's middle
    and a side not far from its."""
    found = {}
    for face, (x, y, side) in enumerate(scene.places):
        centre = boxes[:, :2] + boxes[:, 2:] / 2
        near = np.abs(centre - (x, y)).max(axis=1) < 0.3 * side
        ratio = boxes[:, 2:].max(axis=1, initial=0) / side
        good = np.flatnonzero(near & (ratio > 0.5) & (ratio < 1.6))
        if len(good):
            found[face] = int(good[0])
    return found


def searched(name: str, images: np.ndarray, kind: Kind) -> tuple[dict, list]:
    """What a detector finds: shares and time, and (number, crop by margin and tilt) of each face
    found."""
    finder = recogniser.Recogniser(detector=name)
    tried, found, wrong, seconds, count = 0, [], 0, 0.0, 0
    for scene in scenes(images, kind):
        start = time.process_time()
        boxes, _, tilts = finder.find(scene.rgb)
        seconds += time.process_time() - start
        right = hits(boxes, scene)
        tried, count = tried + len(scene.numbers), count + 1
        wrong += len(boxes) - len(set(right.values()))
        for face, box in right.items():
            crops = {
                (level, margin): recogniser.crop(scene.rgb, boxes[box], margin, level * tilts[box])
                for level in ((0, 1) if name == "yunet" else (0,))
                for margin in (MARGINS if kind.size == (640, 480) else ())
            }
            found.append((scene.numbers[face], crops))
    row = {"faces": tried, "found": len(found) / tried, "wrong_boxes_a_picture": wrong / count}
    return row | {"milliseconds": 1000 * seconds / count}, found


def by_margin(
    found: list, network: inference.Network, images: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """Accuracy in % of the faces found, for each margin, levelled or not, beside that of the same
    faces as FER2013 has them."""
    numbers = np.array([number for number, _ in found])
    original = network.probabilities(images[numbers]).argmax(1) == labels[numbers]
    rows = []
    for level, margin in found[0][1]:
        crops = np.array([crops[level, margin] for _, crops in found])
        right = network.probabilities(crops).argmax(1) == labels[numbers]
        change, low, high = metrics.accuracy_change(original, right)
        rows.append(
            {"levelled": bool(level), "margin": margin, "n": len(found)}
            | {"accuracy": 100 * right.mean(), "accuracy_of_originals": 100 * original.mean()}
            | {"change": change, "low": low, "high": high}
        )
    return pd.DataFrame(rows)


def top(table: pd.DataFrame) -> float:
    """The margin at the top of a parabola through the changes."""
    square, linear, _ = np.polyfit(table.margin, table.change, 2)
    return (
        float(-linear / (2 * square)) if square < 0 else float(table.margin[table.change.idxmax()])
    )


@style.style()
def figure(table: pd.DataFrame) -> Figure:
    """Change of accuracy against margin, a line a detector and kind of scene."""
    drawing, axes = style.new(height=3.5)
    for words, part in table.groupby(["detector", "kind", "levelled"], sort=False):
        label = f"{words[0]}, {words[1]}{', levelled' if words[2] else ''} (n = {part.n.iloc[0]:,})"
        axes.plot(100 * part.margin, part.change, label=label)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set(
        xlabel="margin on each side, % of the box's side", ylabel="points above FER2013's own crop"
    )
    axes.legend(frameon=False, fontsize=7)
    return drawing


def main() -> None:
    """Measure, print and write."""
    options = _options()
    faces = datasets.load(options.data)
    rows = splits.divide(faces, "official").validation
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[: options.faces])
    measure(faces.images[chosen], faces.labels[chosen], options)


def measure(images: np.ndarray, labels: np.ndarray, options: argparse.Namespace) -> None:
    """Both tables of the faces uint8 [n, 48, 48]."""
    network = inference.load(options.model, views=2, prior="fer2013")
    detectors, margins = [], []
    for name in options.detectors:
        for words, kind in KINDS.items():
            row, found = searched(name, images, kind)
            detectors.append({"detector": name, "kind": words} | row)
            print(pd.DataFrame(detectors[-1:]).to_string(index=False, header=False), flush=True)
            if words in ("as they are", "turned by up to 30°"):
                table = by_margin(found, network, images, labels)
                margins.append(table.assign(detector=name, kind=words))
                for level, part in table.groupby("levelled"):
                    print(
                        f"  levelled {level}: mean {part.accuracy.mean():.1f}, top {top(part):.3f}"
                    )
    table = pd.concat(margins, ignore_index=True).round(3)
    _write(pd.DataFrame(detectors).round(3), options.out / "detectors.csv")
    _write(table, options.out / "margin.csv")
    image = io.BytesIO()
    figure(table).savefig(image, format="svg", metadata={"Date": None})
    artifacts.write_atomically(options.out / "margin.svg", image.getvalue())


def _seen(image: np.ndarray, kind: Kind) -> np.ndarray:
    image = np.round(image * kind.light).astype(np.uint8)
    if kind.covered:
        image[SIDE // 2 + 4 :] = image.mean()
    return image


def _paste(
    rgb: np.ndarray, image: np.ndarray, x: float, y: float, side: float, angle: float
) -> None:
    """Lay a face over a picture, turned about its centre."""
    length = int(1.5 * side) + 2
    left, top = int(x - length / 2), int(y - length / 2)
    matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), angle, side / SIDE)
    matrix[:, 2] += np.array([x - left, y - top]) - (SIDE - 1) / 2
    face = cv2.warpAffine(image, matrix, (length, length), flags=cv2.INTER_CUBIC)
    inside = cv2.warpAffine(np.full_like(image, 255), matrix, (length, length)) > 127
    rows, columns = np.nonzero(inside)
    kept = (rows + top >= 0) & (rows + top < len(rgb))
    kept &= (columns + left >= 0) & (columns + left < rgb.shape[1])
    rows, columns = rows[kept], columns[kept]
    rgb[rows + top, columns + left] = face[rows, columns, None]


def _background(name: str, size: tuple[int, int]) -> np.ndarray:
    rgb = getattr(skimage.data, name)()
    rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", default="compact")
    arguments.add_argument("--detectors", nargs="+", default=["yunet", "haar"])
    arguments.add_argument("--faces", type=int, default=600)
    arguments.add_argument("--data", default=None)
    place = paths.outputs("published") / "recogniser"
    arguments.add_argument("--out", type=Path, default=place)
    return arguments.parse_args()


def _write(table: pd.DataFrame, path: Path) -> None:
    artifacts.write_atomically(path, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
