"""Networks in .keras files, of the study or one's own. Importing this takes no Keras, `load`
does."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fercore import artifacts, paths
from fercore.data.faces import SIDE
from fercore.data.splits import SPLITS
from fercore.recognition import inference


def load(path: Path, class_names: Sequence[str] | None = None) -> inference.Network:
    """A network from a .keras file of a single input, gray or RGB; faces are resized to it.

    Its classes are `class_names`, in the order of its outputs, else those that `describe` or the
    file itself knows. Raises `TrainingError` or `ModelError`, one line.
    """
    from fercore.training import loading

    card = describe(path) or loading.training_of(path)
    names = list(class_names or card.get("class_names", ()))
    model = loading.load(path, names or None, side=card.get("side", SIDE))
    if "normalisation" not in card:
        warnings.warn(
            f"{artifacts.printable(path.name)}: faces are standardised, as nothing says how the "
            f'network was fed; add "normalisation": standardise, unit or raw to '
            f"{artifacts.printable(path.stem)}.json",
            stacklevel=4,
        )

    def forward(images: np.ndarray) -> np.ndarray:
        outputs = np.asarray(model.predict_on_batch({"image": images}), np.float32)
        return loading.distributions(outputs, path.name)

    defaults = {"normalisation": "standardise", "side": SIDE}
    return inference.network(path.name, forward, defaults | card | {"class_names": names})


def describe(path: Path) -> dict:
    """What is known of a .keras file: network, split, class_names, normalisation, training; side of
    cropped faces.

    It is taken from a card beside it (NAME.json), or from the record of its training when it lies
    where a run saves it (models/SPLIT/NETWORK/seed0.keras); else nothing is known.
    """
    if path.with_suffix(".json").is_file():
        return inference.read_card(path)
    run, (split, network) = path.resolve().parents[3:4], path.resolve().parts[-3:-1]
    try:
        seed = int(path.stem.removeprefix("seed"))
        record = artifacts.read_record(run[0], split, network, seed)
    except (ValueError, IndexError):
        return {}
    recipe, split = record["recipe_parameters"], record.get("split") or record["protocol"]
    return {
        "network": record["network"],
        "split": split,
        "training": record,
        "class_names": list(SPLITS[split].class_names),
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
