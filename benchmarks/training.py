"""Training speed, measured in one run: this study's `fit` against a plain transcription of system
A's way, or against another checkout of the study.

    python benchmarks/training.py [--network cnn] [--faces 2560] [--data PATH] [--against CHECKOUT]

Plain: float32, batches of 100, Keras's `ImageDataGenerator` augmenting one face at a time,
`Model.fit`, Keras's own layers. Here: the network's own recipe. All train one epoch on the same
faces to warm up and are timed on the next two. `--against` times both checkouts alternately, each
in a process of its own, `--rounds` times seven epochs, and gives the ratio of their best epochs and
of their medians: other work on a machine disturbs single epochs by a tenth and more.
Then the share of the machine's matrix-product rate, in the precision of the training, that training
reaches: three times the multiply-adds of a forward pass, doubled, by the images per second, against
a product of two matrices.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import time

import keras
import numpy as np

from fercore.config import parameters, recipes
from fercore.data import augmentation, datasets
from fercore.models import layers, registry
from fercore.training import prediction, trainer

ONE_FIT = """
import dataclasses, sys
import numpy as np
try:
    from fercore.config import parameters, recipes
    from fercore.training import prediction, trainer
except ImportError:  # checkouts of before the wings
    from fercore import parameters, prediction, recipes, training as trainer
name, file = sys.argv[1:]
settings = parameters.network(name)
recipe = dataclasses.replace(recipes.read(settings["recipe"]), epochs=8)
data = prediction.Examples(*np.load(file).values(), {})
model = trainer.build(settings["base"], recipe, 0, **settings.get("parameters", {}))
history = trainer.fit(model, data, data.select(np.arange(64)), recipe, seed=0)
print(*len(data) / history.seconds[1:])
"""


def fed(model: keras.Model, recipe: recipes.Recipe, faces: datasets.Faces) -> float:
    """Images per second of this study's `fit`, from the history of its epochs (validation on 64
    faces included)."""
    recipe = dataclasses.replace(recipe, epochs=3)
    examples = prediction.examples(faces, np.arange(len(faces)), registry.inputs(model), recipe)
    history = trainer.fit(model, examples, examples.select(np.arange(64)), recipe, seed=0)
    return 2 * len(faces) / history.seconds[1:].sum()


def own_way(name: str, faces: datasets.Faces, **chosen) -> float:
    """Images per second of system A's published training loop, with Keras's own layers."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        own = type(layer).__module__ == layers.__name__
        return (type(layer).__base__ if own else type(layer)).from_config(layer.get_config())

    classes = len(faces.class_names)
    built = registry.build(name, classes=classes, **chosen)
    copy = keras.models.clone_model(built, clone_function=plain)
    model = keras.Model(copy.inputs[0], copy.outputs[0])
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    images = augmentation.crop(faces.images, model.input_shape[1])[..., None].astype("float32")
    shifts = {"width_shift_range": 0.1, "height_shift_range": 0.1}
    how = {"rotation_range": 10, "zoom_range": 0.1, "horizontal_flip": True} | shifts
    targets = np.eye(classes)[faces.labels]
    augmented = ImageDataGenerator(**how).flow(images, targets, batch_size=100)
    model.fit(augmented, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(augmented, epochs=2, verbose=0)
    return 2 * len(faces) / (time.perf_counter() - start)


def against(checkout: str, network: str, faces: datasets.Faces, rounds: int) -> None:
    """Time two checkouts in turn and print their images per second, an epoch each."""
    file, here = os.path.abspath("benchmark-faces.npz"), os.path.dirname(os.path.dirname(__file__))
    np.savez(file, images=faces.images, labels=faces.labels.astype(np.int64))
    found: dict[str, list[float]] = {os.path.abspath(checkout): [], os.path.abspath(here): []}
    try:
        for _ in range(rounds):
            for path, rates in found.items():
                command = [sys.executable, "-c", ONE_FIT, network, file]
                environment = os.environ | {"PYTHONPATH": path}
                made = subprocess.run(
                    command, env=environment, cwd=path, capture_output=True, text=True, check=True
                )
                rates += map(float, made.stdout.splitlines()[-1].split())
    finally:
        os.unlink(file)
    for path, rates in found.items():
        print(f"{path}: {', '.join(f'{rate:.0f}' for rate in rates)} images/s")
    old, new = found.values()
    print(
        f"{network}: best {max(new) / max(old):.2f}, median {np.median(new) / np.median(old):.2f}"
    )


def matrix_product(precision: str, size: int = 2048, repeats: int = 5) -> float:
    """Multiply-adds per second of a product of two matrices [size, size], measured. A GPU needs
    larger ones to be busy."""
    matrix = keras.ops.cast(np.random.default_rng(0).normal(size=(size, size)), precision)
    keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    start = time.perf_counter()
    for _ in range(repeats):
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    return repeats * size**3 / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--network", default="cnn", choices=parameters.names("networks"))
    arguments.add_argument("--faces", type=int, default=2560)
    arguments.add_argument("--data", default=None)
    arguments.add_argument("--against", default=None)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    faces = datasets.load(options.data)
    faces = faces.select(np.flatnonzero(faces.usage == "Training")[: options.faces])
    if options.against:
        against(options.against, options.network, faces, options.rounds)
        return
    settings = parameters.network(options.network)
    name, chosen = settings["base"], settings.get("parameters", {})
    recipe = recipes.read(settings["recipe"])
    model = trainer.build(name, recipe, seed=0, **chosen)
    macs, fast = registry.multiply_adds(model), fed(model, recipe, faces)
    precision = trainer.precision(recipe)
    slow, limit = own_way(name, faces, **chosen), matrix_product(precision)
    reached, share = 6 * macs * fast / 1e9, 3 * macs * fast / limit
    print(f"{options.network} on {len(faces)} faces ({faces.origin})")
    print(f"plain float32 fit      {slow:8.0f} images/s")
    print(f"this study             {fast:8.0f} images/s    {fast / slow:.1f} times as many")
    print(f"{precision + ' product':<22} {2 * limit / 1e9:8.0f} GFLOP/s")
    print(f"training reaches       {reached:8.0f} GFLOP/s     {share:.0%} of it")


if __name__ == "__main__":
    main()
