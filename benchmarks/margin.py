"""Which margin around a detector's box gives a network the faces that it was trained on.

python benchmarks/margin.py [--model compact] [--detectors haar lbp] [--faces 1000] [--data PATH]
[--out FOLDER]

How FER2013 was cropped: training faces, enlarged within a gray frame, are shown to each detector;
the side of its box by the side of the picture, and how far its centre lies from the picture's, say
how wide FER2013 is cut around such a box.

What recovers the accuracy: PublicTest faces of several sizes are pasted into scikit-image's
pictures, found again and cut out with each of several margins; the accuracy of each margin stands
beside that of the same faces as FER2013 has them. Faces that are not found count in neither. A
parabola through these accuracies has its top at the margin that belongs in `recogniser.MARGINS`:
single margins differ by chance.

Written to FOLDER (default outputs/published/recogniser): margin.csv, detectors.csv, margin.svg.
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

from fercore import artifacts
from fercore.data import datasets, splits
from fercore.data.faces import Faces
from fercore.evaluation import metrics
from fercore.plots import style
from fercore.recognition import detection, inference, recogniser

MARGINS = np.round(np.arange(-0.12, 0.241, 0.02), 2)
BACKGROUNDS = ("coffee", "rocket", "chelsea", "brick", "gravel", "grass")
SCENE = 640, 480
SIDES = 60, 240  # pixels, of a pasted face


@dataclass(frozen=True)
class Scene:
    """A picture with a face of FER2013 in it: the corner and the side in pixels of where it was
    pasted."""

    rgb: np.ndarray
    left: int
    top: int
    side: int


def scenes(images: np.ndarray, seed: int = 0) -> Iterator[Scene]:
    """Each face enlarged to a random size, at a random place of a background."""
    rng = np.random.default_rng(seed)
    backgrounds = [_background(name) for name in BACKGROUNDS]
    for number, image in enumerate(images):
        side = int(np.exp(rng.uniform(*np.log(SIDES))))
        left, top = (int(rng.integers(0, length - side)) for length in SCENE)
        rgb = backgrounds[number % len(backgrounds)].copy()
        face = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        rgb[top : top + side, left : left + side] = face[..., None]
        yield Scene(rgb, left, top, side)


def framed(images: np.ndarray, side: int = 240, frame: int = 120) -> Iterator[Scene]:
    """Each face enlarged, in a frame of its own mean."""
    for image in images:
        rgb = np.full((side + 2 * frame, side + 2 * frame, 3), int(image.mean()), np.uint8)
        face = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        rgb[frame : frame + side, frame : frame + side] = face[..., None]
        yield Scene(rgb, frame, frame, side)


def found_box(boxes: np.ndarray, scene: Scene) -> int | None:
    """Which box is the pasted face's: the first with its centre in the face's middle and a side not
    far from its."""
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    away = (
        np.abs(centre - (scene.left + scene.side / 2, scene.top + scene.side / 2)).max(axis=1)
        / scene.side
    )
    ratio = boxes[:, 2] / scene.side
    hits = np.flatnonzero((away < 0.25) & (ratio > 0.5) & (ratio < 1.5))
    return int(hits[0]) if len(hits) else None


def framing(name: str, images: np.ndarray) -> dict:
    """Side of the detector's box by the side of FER2013's picture, its centre, and the margin that
    follows."""
    detector, rows = detection.detector(name), []
    for scene in framed(images):
        boxes, _ = detector.detect(scene.rgb)
        hit = found_box(boxes, scene)
        if hit is not None:
            x, y, width, height = boxes[hit]
            side = max(width, height)
            centre = (x + width / 2 - scene.left, y + height / 2 - scene.top)
            rows.append((side / scene.side, *(value / scene.side - 0.5 for value in centre)))
    ratio, right, down = np.median(rows, axis=0) if rows else (np.nan, np.nan, np.nan)
    low, high = np.percentile([row[0] for row in rows], [25, 75]) if rows else (np.nan, np.nan)
    return {
        "framed_faces_found": len(rows) / len(images),
        "box_by_picture": ratio,
        "quarter_below": low,
        "quarter_above": high,
        "right_of_centre": right,
        "below_centre": down,
        "implied_margin": (1 / ratio - 1) / 2,
    }


def searched(
    detector: detection.Detector, images: np.ndarray
) -> tuple[dict, list[tuple[int, np.ndarray, Scene]]]:
    """What a detector finds in the scenes: shares and time, and (number, box, scene) of each face
    found."""
    hits, wrong, seconds = [], 0, 0.0
    for number, scene in enumerate(scenes(images)):
        start = time.perf_counter()
        boxes, _ = detector.detect(scene.rgb)
        seconds += time.perf_counter() - start
        hit = found_box(boxes, scene)
        wrong += len(boxes) - (hit is not None)
        if hit is not None:
            hits.append((number, boxes[hit], scene))
    n = len(images)
    return {
        "found": len(hits) / n,
        "wrong_boxes_per_scene": wrong / n,
        "milliseconds": 1000 * seconds / n,
    }, hits


def by_margin(
    name: str, hits: list, network: inference.Network, images: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """Accuracy in % of the faces found, for each margin, beside that of the same faces as FER2013
    has them."""
    numbers = np.array([number for number, _, _ in hits])
    original = network.probabilities(images[numbers]).argmax(1) == labels[numbers]
    rows = []
    for margin in MARGINS:
        crops = np.array([recogniser.crop(scene.rgb, box, margin) for _, box, scene in hits])
        right = network.probabilities(crops).argmax(1) == labels[numbers]
        change, low, high = metrics.accuracy_change(original, right)
        rows.append(
            {
                "detector": name,
                "margin": margin,
                "n": len(hits),
                "accuracy": 100 * right.mean(),
                "accuracy_of_originals": 100 * original.mean(),
                "change": change,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def top(table: pd.DataFrame) -> float:
    """The margin at the top of a parabola through the changes of one detector."""
    square, linear, _ = np.polyfit(table.margin, table.change, 2)
    return (
        float(-linear / (2 * square)) if square < 0 else float(table.margin[table.change.idxmax()])
    )


@style.style()
def figure(table: pd.DataFrame) -> Figure:
    """Change of accuracy against margin, a line a detector, with 95 % intervals."""
    drawing, axes = style.new(height=3.5)
    for name, part in table.groupby("detector", sort=False):
        (line,) = axes.plot(
            100 * part.margin, part.change, label=f"{name} (n = {part.n.iloc[0]:,})"
        )
        axes.fill_between(100 * part.margin, part.low, part.high, alpha=0.2, color=line.get_color())
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set(
        xlabel="margin on each side, % of the box's side", ylabel="points above FER2013's own crop"
    )
    axes.legend(frameon=False)
    return drawing


def main() -> None:
    """Measure, print and write."""
    options = _options()
    faces = datasets.load(options.data)
    split = splits.divide(faces, "official")
    network = inference.load(options.model)
    shown, pasted = (
        _some(faces, split.train, options.faces),
        _some(faces, split.validation, options.faces),
    )
    found, tables = [], []
    for name in options.detectors:
        shares, hits = searched(detection.detector(name), pasted.images)
        found.append({"detector": name} | shares | framing(name, shown.images))
        tables.append(by_margin(name, hits, network, pasted.images, pasted.labels))
        found[-1]["best_margin"] = top(tables[-1])
    shares, _ = searched(detection.detector("haar", **detection.SYSTEM_D), pasted.images)
    found.append({"detector": "haar, as system D sets it"} | shares)
    table, detectors = pd.concat(tables, ignore_index=True).round(3), pd.DataFrame(found).round(3)
    _write(table, options.out / "margin.csv")
    _write(detectors, options.out / "detectors.csv")
    image = io.BytesIO()
    figure(table).savefig(image, format="svg", metadata={"Date": None})
    artifacts.write_atomically(options.out / "margin.svg", image.getvalue())
    print(
        f"{network.name}; {len(pasted):,} PublicTest faces in scenes, {len(shown):,} training faces in frames "
        f"({faces.origin})\n\n{detectors.T.to_string(header=False)}\n\n{table.to_string(index=False)}"
    )


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", default="compact")
    arguments.add_argument("--detectors", nargs="+", default=["haar", "lbp"])
    arguments.add_argument("--faces", type=int, default=1000)
    arguments.add_argument("--data", default=None)
    arguments.add_argument("--out", type=Path, default=inference.FOLDER)
    return arguments.parse_args()


def _background(name: str) -> np.ndarray:
    rgb = getattr(skimage.data, name)()
    rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb
    return cv2.resize(rgb, SCENE, interpolation=cv2.INTER_AREA)


def _some(faces: Faces, positions: np.ndarray, count: int) -> Faces:
    return faces.select(np.sort(np.random.default_rng(0).permutation(positions)[:count]))


def _write(table: pd.DataFrame, path: Path) -> None:
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, lineterminator="\n")
    artifacts.write_atomically(path, buffer.getvalue())


if __name__ == "__main__":
    main()
