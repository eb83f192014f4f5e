"""One pass over the weights gives what Keras's chain of operations gives."""

import keras
import numpy as np
import pytest

from fercore.training import optimizers


def trained(optimizer):
    """Weights of a dense layer after four steps towards random targets."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.layers.Input((8,)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)]
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(32, 8)), rng.normal(size=(32, 3))
    for rate in (0.1, 0.05, 0.2, 0.1):
        model.optimizer.learning_rate = rate
        model.train_on_batch(x, y)
    return np.concatenate([weights.ravel() for weights in model.get_weights()])


@pytest.mark.parametrize(
    "name, options",
    [
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "nesterov": False, "weight_decay": 0.1}),
        ("Adam", {"weight_decay": 0.1}),
    ],
)
def test_the_weights_are_those_of_keras(name, options):
    ours, theirs = (
        getattr(module, name)(0.1, **options) for module in (optimizers, keras.optimizers)
    )
    assert np.allclose(trained(ours), trained(theirs), rtol=1e-5, atol=1e-5)
