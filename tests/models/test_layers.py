"""Layers that train faster than Keras's: the same results."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fercore.models import layers


def test_fused_batch_normalisation_is_keras_s_own():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, size=(32, 6, 6, 5)).astype(np.float32)
    fused, plain = (
        layers.BatchNormalization(momentum=0.5),
        keras.layers.BatchNormalization(momentum=0.5),
    )
    assert np.allclose(fused(x, training=True), plain(x, training=True), atol=1e-4)
    n = x[..., 0].size
    assert np.allclose(fused.moving_mean, plain.moving_mean, atol=1e-5)
    assert np.allclose(
        fused.moving_variance - 0.5, (plain.moving_variance - 0.5) * n / (n - 1), atol=1e-3
    )
    before = np.array(fused.moving_mean)
    fused.trainable = False
    assert np.allclose(fused(x, training=True), fused(x, training=False), atol=1e-5)
    assert np.array_equal(before, fused.moving_mean)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("side", "size"), [(6, 3), (5, 4), (13, 3), (14, 2)])
def test_gradients_of_a_convolution_are_keras_s_own(side, size, precision, padding, monkeypatch):
    taken, convolution = [], layers._convolution
    monkeypatch.setattr(
        layers, "_convolution", lambda *given: taken.append(given) or convolution(*given)
    )
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(4, side, side, 8)), tf.float32)
    how = {"filters": 6, "kernel_size": size, "padding": padding, "use_bias": False}
    fast, plain = layers.Conv2D(**how, dtype=precision), keras.layers.Conv2D(**how)
    assert plain(x).shape == fast(x).shape
    assert bool(taken) == (precision == "float32" or side <= layers.SMALL)
    plain.set_weights(fast.get_weights())
    gradients = {}
    for layer in (fast, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.cast(layer(x), tf.float32) ** 2)
        gradients[layer] = tape.gradient(loss, [x, layer.kernel.value])
    # TensorFlow's own sums are in bfloat16 where the processor does not know it
    near = 1e-5 if precision == "float32" else 0.02 if taken else 0.1
    for ours, theirs in zip(gradients[fast], gradients[plain], strict=True):
        assert np.abs(ours - theirs).max() < near * np.abs(theirs).max()


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_a_dense_layer_are_keras_s_own(bias, monkeypatch):
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 40)), tf.float32)
    how = {"units": 7, "activation": "relu", "use_bias": bias, "bias_initializer": "ones"}
    plain, fast = keras.layers.Dense(**how), layers.Dense(**how)
    for layer in (plain, fast):
        layer.build(x.shape)
    fast.set_weights(plain.get_weights())
    found = {}
    for layer in (plain, fast):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            loss = tf.reduce_sum(outputs**2)
        found[layer] = [outputs, *tape.gradient(loss, [x, *(one.value for one in layer.weights)])]
        monkeypatch.setattr(keras.layers.Dense, "call", None)  # which the fast one goes without
    assert len(found[fast]) == 3 + bias
    for ours, theirs in zip(found[fast], found[plain], strict=True):
        assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 30, 30, 3), (99, 101)])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_share_keeps_the_mean_and_follows_its_seed(shape, rate):
    x = np.ones(shape, np.float32)
    layer = layers.Dropout(rate, seed=3)
    first, second = np.array(layer(x, training=True)), np.array(layer(x, training=True))
    assert np.mean(first == 0) == pytest.approx(rate, abs=0.02)
    assert np.unique(first[first > 0]) == pytest.approx(1 / (1 - rate), rel=1e-4)
    assert np.mean((first == 0) & (second == 0)) == pytest.approx(rate**2, abs=0.02)
    assert np.array_equal(first, layers.Dropout(rate, seed=3)(x, training=True))
    assert np.array_equal(x, layer(x, training=False))
