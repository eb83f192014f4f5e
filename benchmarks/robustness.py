"""What shifts, turns, blur and the like take from a network's accuracy.

python benchmarks/robustness.py [--model compact] [--views 2] [--data PATH] [--write]

PublicTest faces are changed as detectors and cameras change faces, and predicted with the prior of
FER2013; PrivateTest is not looked at. Printed: accuracy and points lost, a line a change. --write
puts them into the card of a network of the package, and its model card.
"""

import argparse
from collections.abc import Callable

import cv2
import numpy as np

from fercore import artifacts, paths
from fercore.data import datasets, splits
from fercore.data.faces import SIDE
from fercore.recognition import inference, model_card

Change = Callable[[np.ndarray], np.ndarray]


def changes(side: int = SIDE) -> dict[str, Change]:
    """What detectors and cameras do to a face uint8 [side, side], by name."""
    middle, rng = ((side - 1) / 2, (side - 1) / 2), np.random.default_rng(0)
    noise = rng.normal(0, 10, (side, side))

    def moved(angle: float = 0, scale: float = 1, x: float = 0, y: float = 0) -> Change:
        matrix = cv2.getRotationMatrix2D(middle, angle, scale)
        matrix[:, 2] += x, y
        return lambda image: cv2.warpAffine(
            image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE
        )

    def lit(gain: float, offset: float) -> Change:
        return lambda image: _bytes(image.astype(float) * gain + offset)

    def covered(part: tuple[slice, slice]) -> Change:
        def cover(image: np.ndarray) -> np.ndarray:
            image = image.copy()
            image[part] = image.mean()
            return image

        return cover

    def compressed(image: np.ndarray) -> np.ndarray:
        content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
        return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)

    half = side // 2
    shifts = {f"{d:+} px right": moved(x=d) for d in (-4, -2, 2, 4)}
    shifts |= {f"{d:+} px down": moved(y=d) for d in (-4, -2, 2, 4)}
    return {
        **shifts,
        **{f"scale {scale}": moved(scale=scale) for scale in (0.8, 0.9, 1.1, 1.25)},
        **{f"turned {angle:+}°": moved(angle) for angle in (-20, -10, 10, 20)},
        "blurred, sigma 1 px": lambda image: cv2.GaussianBlur(image, (0, 0), 1),
        "JPEG, quality 30": compressed,
        "half as bright": lit(0.5, 0),
        "40 grey levels brighter": lit(1, 40),
        "half the contrast": lit(0.5, 64),
        "noise, 10 grey levels": lambda image: _bytes(image + noise),
        "upper half covered": covered((slice(0, half), slice(None))),
        "lower half covered": covered((slice(half, None), slice(None))),
        "left half covered": covered((slice(None), slice(0, half))),
    }


def measured(network: inference.Network, images: np.ndarray, labels: np.ndarray) -> dict:
    """Accuracy, 0..1, by what was done to the faces uint8 [n, 48, 48]."""
    found = {}
    for name, change in ({"as they are": np.asarray} | changes()).items():
        changed = np.stack([change(image) for image in images])
        right = network.untempered(changed).argmax(axis=1) == labels
        found[name] = round(float(right.mean()), 4)
        print(f"{name:24} {found[name]:7.1%} {100 * (found[name] - found['as they are']):+6.1f}")
    return found


def main() -> None:
    """Measure, print, write."""
    options = _options()
    faces = datasets.load(options.data)
    validation = faces.select(splits.divide(faces, "official").validation)
    network = inference.load(options.model, views=options.views, prior="fer2013")
    print(f"{network.name}, {options.views} views; {len(validation):,} faces, {faces.origin}")
    found = measured(network, validation.images, validation.labels)
    if options.write:
        card = network.card | {"robustness": found}
        artifacts.write_json(inference.FOLDER / f"{options.model}.json", card)
        place = paths.outputs("published") / "recogniser" / "MODEL_CARD.md"
        artifacts.write_atomically(place, model_card.markdown(card))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", default="compact")
    arguments.add_argument("--views", type=int, default=model_card.DEFAULT_VIEWS)
    arguments.add_argument("--data", default=None)
    arguments.add_argument("--write", action="store_true")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
