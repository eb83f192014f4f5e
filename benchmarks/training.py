"""Training speed, measured in one run: this study's `fit` against a plain transcription of system A's way.

    python benchmarks/training.py [--network cnn] [--faces 2560] [--data PATH]

Plain: float32, batches of 100, Keras's `ImageDataGenerator` moving one face at a time, `Model.fit`, Keras's own batch
normalisation. Here: the network's own recipe. Both train one epoch on the same faces to warm up and are timed on the
next two. Then the share of the machine's bfloat16 matrix-product rate that training reaches: three times the
multiply-adds of one forward pass, doubled, by the images per second, against a product of 4096 x 4096 matrices.
"""
import argparse
import dataclasses
import time

import keras
import numpy as np
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from fercore import blocks, datasets, networks, parameters, preprocessing, recipes, training

CHOICES = ["cnn", "vgg", "deep_cnn", "vgg16_scratch", "inception_v1", "compact"]


def plain(name: str, recipe: recipes.Recipe, faces: datasets.Faces) -> float:
    """Images per second of system A's way: float32, pixels 0-255, Adam, one face moved at a time."""
    built = training.build(name, dataclasses.replace(recipe, precision="float32"), seed=0)
    model = keras.models.clone_model(built, clone_function=own_layer)
    images = preprocessing.crop(faces.images, recipe.crop)[..., None].astype("float32")
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    moved = ImageDataGenerator(
        rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.1, horizontal_flip=True
    ).flow(images, np.eye(7)[faces.labels], batch_size=100)
    model.fit(moved, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(moved, epochs=2, verbose=0)
    return 2 * len(faces) / (time.perf_counter() - start)


def own_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a layer, batch normalisation as Keras computes it."""
    fused = isinstance(layer, blocks.BatchNormalization)
    return (keras.layers.BatchNormalization if fused else type(layer)).from_config(layer.get_config())


def fed(name: str, recipe: recipes.Recipe, faces: datasets.Faces) -> float:
    """Images per second of this study's `fit`, from the history of its epochs (validation on 64 faces included)."""
    recipe = dataclasses.replace(recipe, epochs=3)
    model = training.build(name, recipe, seed=0)
    examples = training.examples(faces, np.arange(len(faces)), networks.inputs(model), recipe)
    history = training.fit(model, examples, examples.select(np.arange(64)), recipe, seed=0)
    return 2 * len(faces) / history.seconds[1:].sum()


def matrix_product(size: int = 4096, repeats: int = 5) -> float:
    """Multiply-adds per second of the machine in a bfloat16 matrix product."""
    matrix = keras.ops.cast(np.random.default_rng(0).normal(size=(size, size)), "bfloat16")
    keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix))
    start = time.perf_counter()
    for _ in range(repeats):
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    return repeats * size**3 / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--network", default="cnn", choices=CHOICES)
    arguments.add_argument("--faces", type=int, default=2560)
    arguments.add_argument("--data", default=None)
    options = arguments.parse_args()
    faces = datasets.load(options.data)
    faces = faces.select(np.flatnonzero(faces.usage == "Training")[: options.faces])
    recipe = recipes.read(parameters.network(options.network)["recipe"])
    macs = networks.multiply_adds(training.build(options.network, recipe, seed=0))
    fast = fed(options.network, recipe, faces)
    slow, limit = plain(options.network, recipe, faces), matrix_product()
    print(f"{options.network} on {len(faces)} faces ({faces.origin})")
    print(f"plain float32 fit      {slow:8.0f} images/s")
    print(f"this study             {fast:8.0f} images/s    {fast / slow:.1f} times as many")
    print(f"bfloat16 product       {2 * limit / 1e9:8.0f} GFLOP/s")
    print(f"training reaches       {6 * macs * fast / 1e9:8.0f} GFLOP/s     {3 * macs * fast / limit:.0%} of it")


if __name__ == "__main__":
    main()
