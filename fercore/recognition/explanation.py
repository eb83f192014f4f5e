"""What a recogniser did with a picture, drawn: the steps, where the network looks, faces changed on
purpose."""

import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from fercore.artifacts import write_atomically
from fercore.data.faces import SIDE
from fercore.data.pictures import PictureError, read
from fercore.plots.style import PUBLISHED, WIDTH, new, style
from fercore.recognition.annotation import annotate
from fercore.recognition.recogniser import Recogniser

PATCH, STRIDE = 10, 3  # pixels of a 48×48 face: side of what is covered, step from place to place
GRAY = 128


def occlusion(
    probabilities: Callable[[np.ndarray], np.ndarray], face: np.ndarray
) -> tuple[int, float, np.ndarray]:
    """Where in a face, uint8 [48, 48], the answer comes from: (class, its probability, fall by
    pixel [48, 48]).

    A gray square is laid over the face, place by place (Zeiler and Fergus 2014, section 4.2). The
    value of a pixel is the mean fall of the answer's log-odds over all squares that cover it.
    `probabilities`: crops -> [n, c].
    """
    corners = [
        (y, x)
        for y in range(0, SIDE - PATCH + 1, STRIDE)
        for x in range(0, SIDE - PATCH + 1, STRIDE)
    ]
    covered = np.repeat(face[None], len(corners) + 1, axis=0)
    for image, (y, x) in zip(covered[1:], corners, strict=True):
        image[y : y + PATCH, x : x + PATCH] = GRAY
    told = probabilities(covered)
    answer = int(told[0].argmax())
    odds = _log_odds(told, answer)
    fall, times = np.zeros((SIDE, SIDE)), np.full((SIDE, SIDE), 1e-9)
    for (y, x), value in zip(corners, odds[0] - odds[1:], strict=True):
        fall[y : y + PATCH, x : x + PATCH] += value
        times[y : y + PATCH, x : x + PATCH] += 1
    return answer, float(told[0, answer]), fall / times


def _log_odds(probabilities: np.ndarray, answer: int) -> np.ndarray:
    """Of one class against all others, float [n], between those of 0.1 % and 99.9 %: beyond, digits
    are noise."""
    share = np.clip(probabilities[:, answer].astype(np.float64), 1e-3, 1 - 1e-3)
    return np.log(share / (1 - share))


@style()
def occlusion_sheet(
    faces: Sequence[np.ndarray],
    maps: Sequence[tuple[int, float, np.ndarray]],
    class_names: Sequence[str],
) -> Figure:
    """Faces above, and below each where its answer comes from. Red: covering it makes the
    answer less likely."""
    columns, most = max(2, len(faces)), max(max(np.abs(fall).max() for *_, fall in maps), 1e-3)
    figure, axes = new(2, columns, height=2 * WIDTH / columns + 0.9, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for k, (face, (answer, probability, fall)) in enumerate(zip(faces, maps, strict=True)):
        for axis in axes[:, k]:
            axis.imshow(face, cmap="gray", vmin=0, vmax=255)
        shade = axes[1, k].imshow(fall, cmap="RdBu_r", vmin=-most, vmax=most, alpha=0.6)
        axes[0, k].set_title(
            f"{class_names[answer]}\n{probability:.0%}", fontsize=7.5, fontweight="normal"
        )
    bar = figure.colorbar(shade, ax=axes, location="bottom", shrink=0.4, aspect=40)
    bar.set_label("fall of the log-odds", fontsize=8)
    return figure


def draw_boxes(axis: Axes, rgb: np.ndarray, boxes: np.ndarray, colour: str) -> None:
    """A picture on `axis` with boxes (x, y, width, height) around what was found."""
    axis.imshow(rgb)
    axis.set_axis_off()
    for x, y, width, height in boxes:
        axis.add_patch(Rectangle((x, y), width, height, fill=False, ec=colour, lw=1.2))


@style()
def steps(
    rgb: np.ndarray, box: np.ndarray, crop: np.ndarray, seen: np.ndarray, *, margin: float
) -> Figure:
    """From the picture to what the network gets: box and margin, the gray crop, the normalised
    input."""
    figure, axes = new(1, 4, height=2.2)
    x, y, width, height = (int(value) for value in box)
    draw_boxes(axes[0], rgb, [box], PUBLISHED)
    wide = np.array(
        [
            x - margin * width,
            y - margin * height,
            (1 + 2 * margin) * width,
            (1 + 2 * margin) * height,
        ]
    )
    draw_boxes(axes[1], rgb, [box, wide] if margin else [box], PUBLISHED)
    axes[1].set(xlim=(x - width / 2, x + 1.5 * width), ylim=(y + 1.5 * height, y - height / 2))
    axes[2].imshow(crop, cmap="gray", vmin=0, vmax=255)
    axes[3].imshow(seen, cmap="gray")
    titles = (
        "picture",
        f"box {width}×{height}\nmargin {margin:.0%}",
        f"gray\n{SIDE}×{SIDE}",
        f"normalised\n{seen.shape[1]}×{seen.shape[0]}",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_axis_off()
        axis.set_title(title, fontsize=8.5, fontweight="normal")
    return figure


@style()
def picture(rgb: np.ndarray) -> Figure:
    """One picture, as wide as the text."""
    figure, axis = new(height=WIDTH * rgb.shape[0] / rgb.shape[1])
    axis.imshow(rgb)
    axis.set_axis_off()
    return figure


@style()
def pictures(images: Sequence[np.ndarray], titles: Sequence[str], *, columns: int = 3) -> Figure:
    """Pictures of any size in rows, each with its title."""
    rows = max(1, -(-len(images) // columns))
    figure, axes = new(rows, columns, height=rows * (WIDTH / columns + 0.4), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=8.5, fontweight="normal")
    return figure


def portrait() -> np.ndarray:
    """Eileen Collins, by NASA, in the public domain: uint8 [512, 512, 3], out of scikit-image's
    wheel."""
    found = importlib.util.find_spec("skimage")
    if found is None:
        raise PictureError("the portrait comes with scikit-image: pip install scikit-image")
    return read(Path(found.origin).parent / "data" / "astronaut.png")


def example(path: Path) -> Path:
    """Write the picture of README: the portrait's upper part, recognised and marked."""
    part = cv2.resize(portrait()[:320, :480], (960, 640), interpolation=cv2.INTER_CUBIC)
    marked = Image.fromarray(annotate(part, Recogniser().recognise(part)[0]))
    buffer = io.BytesIO()
    marked.resize((720, 480)).save(buffer, "WEBP", quality=80, method=6)
    return write_atomically(path, buffer.getvalue())


def variants(rgb: np.ndarray) -> Mapping[str, np.ndarray]:
    """A portrait made harder, name -> uint8 [h, w, 3]: turned, dark, small, blurred, half covered,
    mirrored, narrow."""
    height, width = rgb.shape[:2]
    covered = rgb.copy()
    covered[:, : int(0.43 * width)] = 60
    small = cv2.resize(rgb, (width // 5, height // 5), interpolation=cv2.INTER_AREA)
    return {
        "turned by 15°": _turned(rgb, 15),
        "turned by 45°": _turned(rgb, 45),
        "upside down": rgb[::-1, ::-1],
        "an eighth of the light": rgb // 8,
        "a fifth of the size": small,
        "blurred": cv2.GaussianBlur(rgb, (0, 0), 6),
        "half covered": covered,
        "mirrored": np.ascontiguousarray(rgb[:, ::-1]),
        "half as wide": cv2.resize(rgb, (width // 2, height), interpolation=cv2.INTER_AREA),
    }


def _turned(rgb: np.ndarray, degrees: float) -> np.ndarray:
    height, width = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(rgb, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
