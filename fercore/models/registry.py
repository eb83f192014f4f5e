"""`NETWORKS`, the builders by name. Each returns an untrained functional `keras.Model` with the
input "image" [n, side, side, 1], one for each descriptor, and one value a class in float32."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from fercore.models import compact, hybrids, plain_cnns

BUILDERS: list[Callable[..., keras.Model]] = [
    *(hybrids.cnn, hybrids.sift_cnn, hybrids.dsift_cnn),
    *(hybrids.vgg, hybrids.sift_vgg, hybrids.dsift_vgg, hybrids.model_a, hybrids.model_b),
    *(plain_cnns.shallow_cnn, plain_cnns.deep_cnn, plain_cnns.five_class_cnn),
    *(plain_cnns.vgg16_scratch, plain_cnns.inception_v1, plain_cnns.vgg16_imagenet),
    *(compact.compact, compact.residual),
]
NETWORKS = {builder.__name__: builder for builder in BUILDERS}


def build(name: str, **parameters) -> keras.Model:
    """Build a network by name. Raises `ValueError` for a name that is not in the registry."""
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown; there are {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name](**parameters)


def inputs(model: keras.Model) -> list[str]:
    """Names of a model's inputs: "image" and the descriptors that it takes."""
    return [tensor.name for tensor in model.inputs]


def side(model: keras.Model) -> int:
    """Side in pixels of the faces that a model takes."""
    return next(tensor.shape[1] for tensor in model.inputs if tensor.name == "image")


def resized(model: keras.Model, side: int) -> keras.Model:
    """The same network, untrained, for faces of `side` pixels."""
    shapes = {tensor.name: tensor.shape[1:] for tensor in model.inputs} | {"image": (side, side, 1)}
    tensors = {name: layers.Input(shape, name=name) for name, shape in shapes.items()}
    return keras.models.clone_model(model, input_tensors=tensors)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give each layer of `target` the weights of that layer of `source`, where shapes are equal."""
    for given, layer in zip(source.layers, target.layers, strict=True):
        if [w.shape for w in given.weights] == [w.shape for w in layer.weights]:
            layer.set_weights(given.get_weights())


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one face through all convolutions and dense layers, nested models too."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif isinstance(layer, layers.Dense | layers.Conv2D):
            total += int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1]))
    return total
