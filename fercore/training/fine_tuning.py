"""`fercore train`: the network that comes with the package, fine-tuned on a folder of pictures.

faces = fine_tuning.read("photos/")  # a subfolder for each class, of any names
model = fine_tuning.start(faces, seed=0)
history = fine_tuning.fit(model, faces, fine_tuning.RECIPE, seed=0)
"""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.artifacts import printable
from fercore.config import recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation, image_folders, pictures
from fercore.data.faces import CLASS_NAMES, DatasetError, Faces, from_arrays, pixel_hashes
from fercore.evaluation import metrics
from fercore.models import compact, layers, onnx_export
from fercore.training import callbacks, loading, trainer
from fercore.training.prediction import Examples, predict

VALIDATION = 0.2  # share of each class's pictures, where no folder holds those for validation
EXAMPLES = 512  # faces from which batch normalisation takes its averages
RECIPE = Recipe(epochs=12, batch_size=32, learning_rate=0.01, crop=40, precision="float32")


def run(options: Namespace) -> str:
    """Fine-tune on the pictures in `options.dataset`; write NAME.keras, the same as NAME.onnx, and
    their card NAME.json. A training that was stopped goes on. Returns what came of it, a line."""
    folder = Path(options.dataset).expanduser()
    out = Path(options.out or f"{folder.resolve().name}.keras").expanduser()
    if out.suffix != ".keras":
        raise DatasetError(f"{printable(out)}: name the output NAME.keras")
    for file in (out, out.with_suffix(".onnx"), out.with_suffix(".json")):
        if file.exists():
            raise DatasetError(f"{printable(file)}: there already; give another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    faces, seed, checkpoint = read(folder), options.seed, out.with_suffix(".training")
    model = start(faces, seed=seed)
    changed = {"epochs": options.epochs, "learning_rate": options.learning_rate}
    given = {key: value for key, value in changed.items() if value is not None}
    recipe = recipes.check(vars(RECIPE) | given)
    before = None if unknown(faces) else accuracy(model, faces)
    history = fit(model, faces, recipe, seed=seed, checkpoint=checkpoint)
    after = accuracy(model, faces)
    write(model, faces, out, {"seed": seed, **given, "before": before, "after": after})
    callbacks.forget(checkpoint)
    known = f"before {_percent(before)}" if before else f"before it knew no {unknown(faces)[0]}"
    share = f"{_percent(after)} of {after['n']} {after['part']} pictures right, {known}"
    best = artifacts.best_epoch(history).epoch
    return f"{printable(out)}: {share} (best of {len(history)} epochs: {best:.0f})"


def read(folder: Path) -> Faces:
    """Faces of the pictures in a folder, a subfolder for each class: of any names, or those that
    `classes.txt` lists. PrivateTest is what a folder `test` holds; PublicTest, for validation, a
    folder `val`, else a fifth of each class, always the same. Raises `DatasetError`."""
    if not folder.is_dir():
        fault = "give a folder with a subfolder of pictures for each class"
        raise DatasetError(f"{printable(folder)}: no such folder; {fault}")
    names = _class_names(folder)
    arrays = image_folders.read_folder(folder, names)
    faces = from_arrays(*arrays, printable(folder.resolve().name), names)
    hashes, learnt = pixel_hashes(faces.images), faces.usage == "Training"
    given, usage = (faces.usage == "PublicTest").any(), faces.usage.copy()
    least = 1 if given else 2
    rng = np.random.default_rng(0)
    for label, name in enumerate(names):
        own = np.unique(hashes[learnt & (faces.labels == label)])
        if len(own) < least:
            fault = f"{len(own)} different pictures to learn from; at least {least} are needed"
            raise DatasetError(f"{printable(folder.name)}: class {printable(name)}: {fault}")
        if not given:  # duplicates go with each other
            kept = rng.permutation(own)[: max(1, round(VALIDATION * len(own)))]
            usage[learnt & np.isin(hashes, kept)] = "PublicTest"
    return replace(faces, usage=usage)


def start(faces: Faces, *, seed: int) -> keras.Model:
    """The network that comes with the package, for the classes of `faces`. What its last layer
    knows of a class of the same name is kept; for others it begins at random, from `seed`."""
    shipped = compact.pretrained(_some(faces))
    keras.utils.set_random_seed(seed)
    last = shipped.get_layer("expression")
    x = layers.output(last.input, len(faces.class_names))
    model = keras.Model({"image": shipped.inputs[0]}, x, name="compact")
    old, new = last.get_weights(), model.get_layer("expression").get_weights()
    for place, name in enumerate(faces.class_names):
        if (known := image_folders.label_of(name, CLASS_NAMES)) is not None:
            for weights, learnt in zip(new, old, strict=True):
                weights[..., place] = learnt[..., known]
    model.get_layer("expression").set_weights(new)
    return model


def fit(
    model: keras.Model, faces: Faces, recipe: Recipe, *, seed: int, checkpoint: Path | None = None
) -> pd.DataFrame:
    """Train the last layer alone, for a third of the epochs at five times the learning rate, then
    all layers by `recipe`. Returns the history of both, column `stage` 1 and 2; the model ends with
    the epoch that was best on validation. `checkpoint` as `trainer.fit` takes it."""
    parts = examples(faces, "Training"), examples(faces, "PublicTest")
    rate, epochs = 5 * recipe.learning_rate, -(-recipe.epochs // 3)
    head = replace(recipe, epochs=epochs, learning_rate=rate)
    layers.unfreeze_from(model, "expression")
    folder = checkpoint and checkpoint / "head"
    first = trainer.fit(model, *parts, head, seed=seed, checkpoint=folder).assign(stage=1)
    begun = model.get_weights()
    layers.unfreeze_from(model, model.layers[0].name)
    folder = checkpoint and checkpoint / "all"
    second = trainer.fit(model, *parts, recipe, seed=seed, checkpoint=folder).assign(stage=2)
    second["epoch"] += epochs
    history = pd.concat([first, second], ignore_index=True)
    if not np.isfinite(history.loss).all():
        raise loading.TrainingError("the training diverged; give a lower --learning-rate")
    if artifacts.best_epoch(history).stage == 1:
        model.set_weights(begun)
    return history


def accuracy(model: keras.Model, faces: Faces) -> dict:
    """Accuracy, 0..1, and its 95 % interval on the `n` pictures for test, or else validation."""
    part = "test" if (faces.usage == "PrivateTest").any() else "validation"
    shown = examples(faces, "PrivateTest" if part == "test" else "PublicTest")
    found = probabilities(model, shown).argmax(axis=1)
    matrix = metrics.confusion(shown.labels, found, len(faces.class_names))
    low, high = metrics.accuracy_interval(matrix)
    share = float(metrics.accuracy(matrix))
    return {"part": part, "n": len(shown), "accuracy": share, "low": low, "high": high}


def examples(faces: Faces, usage: str) -> Examples:
    """The faces of one usage as a network is shown them."""
    chosen = faces.usage == usage
    return Examples(faces.images[chosen], faces.labels[chosen].astype(np.int64), {})


def probabilities(model: keras.Model, shown: Examples) -> np.ndarray:
    """Probabilities float32 [n, c], averaged over a face and its mirror image."""
    return np.mean([predict(model, shown, RECIPE, view) for view in augmentation.views(2)], axis=0)


def write(model: keras.Model, faces: Faces, out: Path, training: dict) -> None:
    """The model as NAME.keras, which is `out`, and NAME.onnx; their card, with the `training`."""
    learnt = examples(faces, "Training")
    seen = augmentation.crop(_some(faces), RECIPE.crop)
    content, _ = onnx_export.export(model, augmentation.normalise(seen, RECIPE.normalisation))
    shares = np.bincount(learnt.labels, minlength=len(faces.class_names)) / len(learnt)
    card = {
        "class_names": list(faces.class_names),
        "side": RECIPE.crop,
        "normalisation": RECIPE.normalisation,
        "data": faces.origin,
        "shares": dict(zip(faces.class_names, shares.round(4).tolist(), strict=True)),
        "fine_tuning": training,
        "provenance": artifacts.provenance(),
    }
    loading.save(model, out, {"class_names": card["class_names"]})
    artifacts.write_atomically(out.with_suffix(".onnx"), content)
    artifacts.write_json(out.with_suffix(".json"), card)


def unknown(faces: Faces) -> list[str]:
    """The classes of `faces` that the shipped network does not know."""
    return [one for one in faces.class_names if image_folders.label_of(one, CLASS_NAMES) is None]


def _class_names(folder: Path) -> tuple[str, ...]:
    """Those that classes.txt lists, else the names of the folders that pictures lie in: those that
    the shipped network knows, in its order, then others."""
    if (folder / image_folders.CLASSES_FILE).is_file():
        return image_folders.class_names_of(folder)
    found: dict[str, str] = {}
    for path in image_folders.files_below(folder):
        name = path.parent.name
        if path.suffix.lower() not in pictures.SUFFIXES:
            continue
        if path.parent == folder or name.lower() in image_folders.PARTS:
            fault = "lies in no class's folder; make one for each class and move it there"
            raise DatasetError(f"{printable(path.relative_to(folder))}: {fault}")
        name = image_folders.SYNONYMS.get(name.lower(), name)
        found.setdefault(name.lower(), name)
    if not 2 <= len(found) <= 100:
        fault = f"folders of {len(found)} classes with pictures in it; 2 to 100 are needed"
        raise DatasetError(f"{printable(folder)}: {fault}")
    known = [name for name in CLASS_NAMES if found.pop(name.lower(), None)]
    return (*known, *(found[name] for name in sorted(found, key=pictures.natural)))


def _some(faces: Faces) -> np.ndarray:
    """Training faces of all classes, uint8 [n, 48, 48], `EXAMPLES` at most."""
    learnt = faces.images[faces.usage == "Training"]
    return learnt[np.random.default_rng(0).permutation(len(learnt))[:EXAMPLES]]


def _percent(found: dict) -> str:
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{found['accuracy']:.1%} [{low:.1f}, {high:.1f}]"
