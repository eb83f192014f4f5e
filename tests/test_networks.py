"""Networks: published sizes, named inputs, what a hybrid adds to its trunk."""
import keras
import numpy as np
import pytest

from fercore import networks

PUBLISHED = {"cnn": 1_352_295, "vgg": 26_545_095}
INPUTS = {
    "cnn": ["image"], "sift_cnn": ["image", "sift"], "dsift_cnn": ["image", "dsift"],
    "vgg": ["image"], "sift_vgg": ["image", "sift"], "dsift_vgg": ["image", "dsift"],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    assert networks.build(name).count_params() == PUBLISHED[name]


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_are_named_and_classes_are_a_parameter(name):
    model = networks.build(name, classes=5)
    assert sorted(networks.inputs(model)) == sorted(INPUTS[name])
    assert model.output_shape == (None, 5)


def test_hybrid_keeps_the_trunk_of_the_plain_network():
    def trunk(model):
        wanted = (keras.layers.Conv2D, keras.layers.BatchNormalization)
        return [tuple(v.shape) for layer in model.layers if isinstance(layer, wanted) for v in layer.weights]

    assert trunk(networks.build("dsift_cnn")) == trunk(networks.build("cnn"))
    assert len(trunk(networks.build("dsift_cnn", trunk="published"))) == 2 * 6  # six convolutions, no normalisation


def test_probabilities_sum_to_one():
    model = networks.build("dsift_cnn")
    rng = np.random.default_rng(0)
    answer = model.predict_on_batch({"image": rng.normal(size=(3, 48, 48, 1)), "dsift": rng.random((3, 2048))})
    assert np.allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_multiply_adds_of_a_network_counted_by_hand():
    image = keras.layers.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert networks.multiply_adds(model) == 8 * 8 * 4 * 9 + 8 * 8 * 4 * 2


def test_unknown_names_are_told_with_what_there_is():
    with pytest.raises(ValueError, match=r"'vgg17' is unknown; there are .*vgg"):
        networks.build("vgg17")
    with pytest.raises(ValueError, match=r"trunk 'other'"):
        networks.build("dsift_cnn", trunk="other")
