"""Networks in .keras files: those of the study, and one's own. Importing this takes no Keras,
loading does."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fercore import artifacts, paths
from fercore.artifacts import printable
from fercore.data.faces import SIDE
from fercore.recognition import inference

CARD = '{"class_names": [...], "normalisation": "standardise", "unit" or "raw"}'


def load(path: Path) -> inference.Network:
    """A network from a .keras file of one input: faces are resized to it, and repeated as its three
    colours."""
    from fercore.models import registry
    from fercore.training import trainer

    card = describe(path)
    model = trainer.load_model(path, len(card["class_names"]) if card else None)
    if len(model.inputs) != 1:
        raise inference.ModelError(
            f"{printable(path.name)}: takes {', '.join(registry.inputs(model))}; a recogniser "
            "feeds pictures only"
        )
    shape, classes = tuple(model.inputs[0].shape[1:]), model.output_shape[-1]
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] not in (1, 3):
        raise inference.ModelError(
            f"{printable(path.name)}: takes {list(shape)}; faces are [{SIDE}, {SIDE}, 1], resized "
            "to any square, in gray or three equal colours"
        )
    if not card:
        card = {"class_names": [f"class {k}" for k in range(classes)]}
        warnings.warn(
            f"{printable(path.name)} takes {'×'.join(map(str, shape))}, faces of {SIDE}×{SIDE} are "
            f"adapted; its expressions and normalisation are unknown: name them in "
            f"{printable(path.stem)}.json ({CARD})",
            stacklevel=4,
        )
    card = {"normalisation": "standardise", "side": shape[0] if "side" in card else SIDE} | card

    def forward(images: np.ndarray) -> np.ndarray:
        if images.shape[1] != shape[0]:
            images = np.stack([cv2.resize(image, shape[:2]) for image in images])[..., None]
        images = np.repeat(images, shape[2], axis=3)
        return np.asarray(model.predict_on_batch(images), np.float32)

    return inference.network(path.name, forward, card)


def describe(path: Path) -> dict:
    """What is known of a .keras file: network, split, class_names, normalisation, training; side of
    cropped faces.

    It is taken from a card beside it (NAME.json), or from the record of its training when it lies
    where a run saves it (models/SPLIT/NETWORK/seed0.keras); else nothing is known.
    """
    if path.with_suffix(".json").is_file():
        return inference.read_card(path)
    try:
        run, (split, network) = path.resolve().parents[3], path.resolve().parts[-3:-1]
        seed = int(path.stem.removeprefix("seed"))
        record = artifacts.read_record(run, split, network, seed)
    except (ValueError, IndexError):
        return {}
    from fercore.data import splits

    recipe, split = record["recipe_parameters"], record.get("split") or record["protocol"]
    return {
        "network": record["network"],
        "split": split,
        "training": record,
        "class_names": list(splits.SPLITS[split].class_names),
        "normalisation": recipe["normalisation"],
    } | ({"side": recipe["crop"]} if recipe.get("crop") else {})


def trained() -> Iterator[Path]:
    """Networks that were trained here on the whole of FER2013, the newest last: what a quick run
    leaves is not for faces."""
    found = paths.OUTPUTS.glob("*/models/*/*/*.keras")
    for path in sorted(found, key=lambda file: file.stat().st_mtime):
        data = describe(path).get("training", {}).get("data", {})
        if data.get("origin", "").startswith("FER2013") and data.get("subset") is None:
            yield path
