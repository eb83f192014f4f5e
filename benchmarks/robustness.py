"""What shifts, turns, blur and the like take from a network's accuracy, and from that of `fer`.

python benchmarks/robustness.py [--model compact] [--others MODELS] [--views N] [--data PATH]
[--peers-python PATH] [--write]

PublicTest faces are changed as detectors and cameras change faces, and predicted with the prior of
FER2013; PrivateTest is not looked at. Printed: accuracy and points lost, one line per change; the
same of --others, networks by name or file, as the one that was shipped before, and of `fer`, in the
environment that recognition.py makes or is given. --write puts them into the card of a network of
the package, its model card, and outputs/published/recogniser/robustness.csv.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import recognition

Change = Callable[[np.ndarray], np.ndarray]


def changes(side: int = 48) -> dict[str, Change]:
    """What detectors and cameras do to a face uint8 [side, side], by name."""
    middle, rng = ((side - 1) / 2, (side - 1) / 2), np.random.default_rng(0)
    noise = rng.normal(0, 10, (side, side))

    def shifted(angle: float = 0, scale: float = 1, x: float = 0, y: float = 0) -> Change:
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
    shifts = {f"{d:+} px right": shifted(x=d) for d in (-4, -2, 2, 4)}
    shifts |= {f"{d:+} px down": shifted(y=d) for d in (-4, -2, 2, 4)}
    return {
        **shifts,
        **{f"scale {scale}": shifted(scale=scale) for scale in (0.8, 0.9, 1.1, 1.25)},
        **{f"turned {angle:+}°": shifted(angle) for angle in (-20, -10, 10, 20)},
        "blurred, sigma 1 px": lambda image: cv2.GaussianBlur(image, (0, 0), 1),
        "JPEG, quality 30": compressed,
        "half as bright": lit(0.5, 0),
        "40 gray levels brighter": lit(1, 40),
        "half the contrast": lit(0.5, 64),
        "noise, 10 gray levels": lambda image: _bytes(image + noise),
        "upper half covered": covered((slice(0, half), slice(None))),
        "lower half covered": covered((slice(half, None), slice(None))),
        "left half covered": covered((slice(None), slice(0, half))),
    }


def by_peer(changed: dict[str, np.ndarray], python: str) -> dict[str, list[int]]:
    """The labels that `fer` gives the faces, by what was done to them, in the environment of
    `python`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "changed.npz"
        np.savez(file, **changed)
        command = [python, __file__, "--worker", str(file)]
        call = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(call.stdout.splitlines()[-1])


def work(file: Path) -> dict[str, list[int]]:
    """What `by_peer` gives, in a process of its own."""
    classify = recognition.fer("fer")
    with np.load(file, allow_pickle=False) as given:
        changed = dict(given)
    parts = {name: np.array_split(faces, len(faces) // 64 + 1) for name, faces in changed.items()}
    return {name: np.concatenate([*map(classify, some)]).tolist() for name, some in parts.items()}


def main() -> None:
    """Measure, print, write."""
    options = _options()
    if options.worker:
        print(json.dumps(work(options.worker)))
        return
    import pandas as pd

    from fercore.data import datasets, splits
    from fercore.recognition import inference

    faces = datasets.load(options.data)
    validation = faces.select(splits.divide(faces, "official").validation)
    networks = {
        Path(model).stem: inference.load(model, views=options.views, prior="fer2013")
        for model in (options.model, *options.others)
    }
    how = {"as they are": np.asarray} | changes()
    changed = {
        name: np.stack([change(face) for face in validation.images]) for name, change in how.items()
    }
    predicted = {
        side: {name: network.untempered(some).argmax(axis=1) for name, some in changed.items()}
        for side, network in networks.items()
    }
    predicted["fer"] = by_peer(changed, recognition.peers_python(options.peers_python))
    table = pd.DataFrame({"faces": list(changed)})
    for side, labels in predicted.items():
        right = [np.mean(np.array(labels[name]) == validation.labels) for name in changed]
        table[side] = np.round(right, 6)
    lost = 100 * (table.iloc[:, 1:] - table.iloc[0, 1:]).astype(float)
    print(f"{options.views} views; {len(validation):,} faces, {faces.origin}")
    print(table.join(lost.add_suffix(", points")).round(3).to_string(index=False))
    whole = table[~table.faces.str.contains("covered")].iloc[1:, 1:]
    print(f"\nMean over {len(whole)} changes, no half covered:")
    print(whole.mean().round(3).to_string())
    if options.write:
        _write(table, networks[options.model], options.model)


def _write(table, network, model: str) -> None:
    from fercore import artifacts, paths
    from fercore.recognition import inference, model_card

    card = network.card | {"robustness": dict(zip(table.faces, table[model], strict=True))}
    artifacts.write_json(inference.FOLDER / f"{model}.json", card)
    place = paths.outputs("published") / "recogniser"
    artifacts.write_atomically(place / "MODEL_CARD.md", model_card.markdown(card))
    artifacts.write_atomically(place / "robustness.csv", table.to_csv(index=False))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", default="compact")
    arguments.add_argument("--others", nargs="*", default=[])
    arguments.add_argument("--views", type=int, default=1)
    arguments.add_argument("--data", default=None)
    arguments.add_argument("--peers-python", default=None)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
