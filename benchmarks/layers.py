"""What each of the study's layers brings a training, measured in one run: networks as they are,
and with one kind of layer replaced by Keras's own, in turns.

python benchmarks/layers.py [rounds] [network ...]      9 rounds, compact and cnn by default

In the precision that a training takes here: bfloat16 where the processor multiplies in it. Printed
is how much more processor time a step takes with Keras's layer, the median over rounds: a layer
that brings less than 5 % everywhere has no place in `fercore.models.layers`.
"""

import sys
import time

import keras
import numpy as np

from fercore.config import recipes
from fercore.models import layers, registry
from fercore.training import trainer

BATCH, STEPS = 128, 4
OWN = {
    "BatchNormalization": layers.BatchNormalization,
    "Conv2D": layers.Conv2D,
    "Dense": layers.Dense,
    "Dropout": layers.Dropout,
}


def with_keras_s(model: keras.Model, name: str | None) -> keras.Model:
    """The same network, ready to train, with Keras's own layers of the kind `name`."""

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        own = name is not None and type(layer) is OWN[name]
        kind = getattr(keras.layers, name or "Layer") if own else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=replaced)
    copy.compile("sgd", "sparse_categorical_crossentropy")
    return copy


def seconds(model: keras.Model, faces: np.ndarray, labels: np.ndarray) -> float:
    """Processor time of some steps."""
    start = time.process_time()
    for _ in range(STEPS):
        model.train_on_batch(faces, labels)
    return time.process_time() - start


def main(rounds: int, networks: list[str]) -> None:
    """Measure and print."""
    precision = trainer.precision(recipes.read("study"))
    keras.config.set_dtype_policy({"bfloat16": "mixed_bfloat16"}.get(precision, precision))
    rng = np.random.default_rng(0)
    for network in networks:
        model = registry.build(network)
        side = registry.side(model)
        faces = rng.normal(size=(BATCH, side, side, 1)).astype(np.float32)
        labels = rng.integers(0, model.output_shape[-1], BATCH)
        models = {name: with_keras_s(model, name) for name in (None, *OWN)}
        for each in models.values():
            seconds(each, faces, labels)  # compiles
        taken = [
            {name: seconds(each, faces, labels) for name, each in models.items()}
            for _ in range(rounds)
        ]
        for name in OWN:
            more = np.median([each[name] / each[None] - 1 for each in taken])
            print(f"{network}: {name:18} of Keras: {more:+.0%} of processor time, {precision}")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["9"])[0]), sys.argv[2:] or ["compact", "cnn"])
