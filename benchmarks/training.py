"""Training speed, measured in one run: this study's `fit` against a plain transcription of system
A's way.

    python benchmarks/training.py [--network cnn] [--faces 2560] [--data PATH]

Plain: float32, batches of 100, Keras's `ImageDataGenerator` moving one face at a time, `Model.fit`,
Keras's own layers. Here: the network's own recipe. Both train one epoch on the same faces to warm
up and are timed on the next two. Then the share of the machine's bfloat16 matrix-product rate that
training reaches: three times the multiply-adds of one forward pass, doubled, by the images per
second, against a product of two matrices.
"""

import argparse
import dataclasses

import keras
import numpy as np

from fercore.config import parameters, recipes
from fercore.data import datasets
from fercore.models import registry
from fercore.training import prediction, speed, trainer

CHOICES = [
    "cnn",
    "vgg",
    "deep_cnn",
    "vgg16_scratch",
    "inception_v1",
    "compact",
    "compact_mixup",
    "compact_distilled",
]


def fed(model: keras.Model, recipe: recipes.Recipe, faces: datasets.Faces) -> float:
    """Images per second of this study's `fit`, from the history of its epochs (validation on 64
    faces included)."""
    recipe = dataclasses.replace(recipe, epochs=3)
    examples = prediction.examples(faces, np.arange(len(faces)), registry.inputs(model), recipe)
    history = trainer.fit(model, examples, examples.select(np.arange(64)), recipe, seed=0)
    return 2 * len(faces) / history.seconds[1:].sum()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--network", default="cnn", choices=CHOICES)
    arguments.add_argument("--faces", type=int, default=2560)
    arguments.add_argument("--data", default=None)
    options = arguments.parse_args()
    faces = datasets.load(options.data)
    faces = faces.select(np.flatnonzero(faces.usage == "Training")[: options.faces])
    settings = parameters.network(options.network)
    name, chosen, recipe = (
        settings["base"],
        settings["parameters"],
        recipes.read(settings["recipe"]),
    )
    model = trainer.build(name, recipe, seed=0, **chosen)
    macs, fast = registry.multiply_adds(model), fed(model, recipe, faces)
    slow, limit = speed.own_way(name, faces, **chosen), speed.matrix_product("bfloat16")
    print(f"{options.network} on {len(faces)} faces ({faces.origin})")
    print(f"plain float32 fit      {slow:8.0f} images/s")
    print(f"this study             {fast:8.0f} images/s    {fast / slow:.1f} times as many")
    print(f"bfloat16 product       {2 * limit / 1e9:8.0f} GFLOP/s")
    print(
        f"training reaches       {6 * macs * fast / 1e9:8.0f} GFLOP/s     {3 * macs * fast / limit:.0%} of it"
    )


if __name__ == "__main__":
    main()
