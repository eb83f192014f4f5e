"""How fast a machine is, and how fast system A's own way of training would be on it: measured, in
seconds."""

import time

import keras
import numpy as np

from fercore.data import augmentation
from fercore.data.faces import Faces
from fercore.models import layers, registry

_OWN_BATCH, _OWN_RATE = 100, 1e-4


def matrix_product(precision: str, size: int = 2048, repeats: int = 5) -> float:
    """Multiply-adds per second of a product of two matrices [size, size] in 'bfloat16' or
    'float32'. A GPU needs larger ones to be busy."""
    matrix = keras.ops.cast(np.random.default_rng(0).normal(size=(size, size)), precision)
    keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    start = time.perf_counter()
    for _ in range(repeats):
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    return repeats * size**3 / (time.perf_counter() - start)


def own_way(name: str, faces: Faces, **parameters) -> float:
    """Training images per second of system A's own way: float32, pixels 0 to 255, Adam, batches of
    100, Keras's `ImageDataGenerator`, which moves one face at a time, Keras's own layers. After an
    epoch to warm up.

    `name` and `parameters` are those of `registry.build`, the face its only input, cut to its size.
    Needs the TensorFlow backend.
    """
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    classes = len(faces.class_names)
    copy = keras.models.clone_model(
        registry.build(name, classes=classes, **parameters), clone_function=_plain_layer
    )
    model = keras.Model(copy.inputs[0], copy.outputs[0])
    model.compile(
        keras.optimizers.Adam(_OWN_RATE), "categorical_crossentropy", metrics=["accuracy"]
    )
    images = augmentation.crop(faces.images, model.input_shape[1])[..., None].astype("float32")
    moved = ImageDataGenerator(
        rotation_range=10,
        width_shift_range=0.1,
        height_shift_range=0.1,
        zoom_range=0.1,
        horizontal_flip=True,
    ).flow(images, np.eye(classes)[faces.labels], batch_size=_OWN_BATCH)
    model.fit(moved, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(moved, epochs=2, verbose=0)
    return 2 * len(faces) / (time.perf_counter() - start)


def _plain_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a layer, as Keras computes it."""
    own = isinstance(layer, layers.BatchNormalization | layers.Conv2D | layers.Dropout)
    return (type(layer).__base__ if own else type(layer)).from_config(layer.get_config())
