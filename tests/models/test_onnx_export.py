"""ONNX files: the probabilities of Keras, in float16 and in integers, and the way back."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from fercore import paths
from fercore.models import compact, onnx_export, registry

RNG = np.random.default_rng(0)
FACES = RNG.normal(size=(8, 40, 40, 1)).astype(np.float32)


def trained(model):
    """The model with statistics of batch normalisation as training leaves them: not zeros and
    ones."""
    for variable in model.variables:
        if "moving_variance" in variable.path or "gamma" in variable.path:
            variable.assign(RNG.uniform(0.6, 1.4, variable.shape))
        elif "moving_mean" in variable.path or "beta" in variable.path or "bias" in variable.path:
            variable.assign(RNG.normal(size=variable.shape) / 10)
    return model


def small(name="small", side=40, classes=7):
    image = layers.Input((side, side, 1), name="image")
    x = layers.ReLU()(
        layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(image))
    )
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x)))
    return trained(
        keras.Model({"image": image}, layers.Dense(classes, activation="softmax")(x), name=name)
    )


def every_layer():
    """A network of each layer that is exported, in arrangements that cannot be folded, too."""
    image = layers.Input((40, 40, 1), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(4, 5, strides=2, activation="relu")(image))
    x = layers.Concatenate()(
        [
            layers.MaxPooling2D(3, 2, padding="same")(x),
            layers.AveragePooling2D(3, 2, padding="same")(x),
        ]
    )
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(6)(layers.Flatten()(x))))
    return trained(
        keras.Model({"image": image}, layers.Dense(7, activation="sigmoid")(x), name="every_layer")
    )


def narrow_compact():
    return trained(registry.build("compact", filters=(2, 4, 4, 8)))


def weighed():
    """Channels weighed by the whole map, and blocks that are added."""
    return trained(registry.build("residual", input_shape=(40, 40, 1), filters=(16, 16, 16, 16)))


@pytest.mark.parametrize("build", [small, every_layer, narrow_compact, weighed])
def test_an_export_answers_like_keras(build):
    model = build()
    answers = onnx_export.run(onnx_export.export(model, FACES)[0], FACES)
    expected = model.predict_on_batch({"image": FACES})
    assert np.abs(answers - expected).max() < onnx_export.AGREEMENT
    assert np.ptp(expected, axis=0).max() > 0.001  # answers depend on the face


def test_batch_normalisation_is_folded_into_the_convolution_before_it():
    assert b"Mul" not in onnx_export.export(small(), FACES)[0]
    assert b"Mul" in onnx_export.export(every_layer(), FACES)[0]


def test_a_model_trained_in_bfloat16_is_exported_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    copy = onnx_export.in_float32(model)
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    assert np.array_equal(copy.get_weights()[0], model.get_weights()[0])
    onnx_export.export(model, FACES)


def test_networks_that_cannot_be_exported_are_told():
    with pytest.raises(ValueError, match="only pictures are exported"):
        onnx_export.export(registry.build("dsift_cnn"), FACES)
    image = layers.Input((40, 40, 1), name="image")
    odd = keras.Model({"image": image}, layers.Flatten()(layers.UpSampling2D()(image)), name="odd")
    with pytest.raises(ValueError, match="is a UpSampling2D, which is not exported"):
        onnx_export.export(odd, FACES)


def test_the_way_back_predicts_alike_and_can_be_trained():
    content, _ = onnx_export.export(narrow_compact(), FACES)
    model = compact.compact_from_onnx(content, FACES)
    expected = onnx_export.run(content, FACES)
    np.testing.assert_allclose(model.predict_on_batch({"image": FACES}), expected, atol=1e-5)
    # In training, batch normalisation by the faces' own averages changes next to nothing.
    model.get_layer(index=-2).rate = 0.0
    trained = np.asarray(model({"image": FACES}, training=True))
    np.testing.assert_allclose(trained, expected, atol=2e-3)


def test_the_shipped_network_comes_back():
    folder = paths.ROOT / "fercore" / "recognition" / "weights"
    content = (folder / "compact.onnx").read_bytes()
    model = compact.compact_from_onnx(content, FACES)
    card = json.loads((folder / "compact.json").read_text())
    assert model.count_params() == card["parameters"]
    expected = onnx_export.run(content, FACES)
    np.testing.assert_allclose(model.predict_on_batch({"image": FACES}), expected, atol=1e-4)
    integers = onnx_export.run((folder / "compact_int8.onnx").read_bytes(), FACES)
    assert (integers.argmax(1) == expected.argmax(1)).mean() >= 0.75
    np.testing.assert_allclose(integers.sum(1), 1, atol=1e-5)  # the last layer's are not rounded
