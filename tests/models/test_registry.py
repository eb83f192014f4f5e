"""Networks: published sizes, named inputs, what a hybrid adds to its trunk."""

import keras
import numpy as np
import pytest

from fercore.config import parameters, recipes
from fercore.models import plain_cnns, registry
from fercore.training import trainer

PUBLISHED = {"cnn": 1_352_295, "vgg": 26_545_095, "five_class_cnn": 1_004_805}
TRAINABLE = {"vgg16_scratch": 9_416_903, "five_class_cnn": 1_003_013}
INPUTS = {
    "cnn": ["image"],
    "sift_cnn": ["image", "sift"],
    "dsift_cnn": ["image", "dsift"],
    "vgg": ["image"],
    "sift_vgg": ["image", "sift"],
    "dsift_vgg": ["image", "dsift"],
    "shallow_cnn": ["image"],
    "deep_cnn": ["image"],
    "five_class_cnn": ["image"],
    "compact": ["image"],
    "vgg16_scratch": ["image"],
    "inception_v1": ["image"],
    "model_a": ["image"],
    "model_b": ["image"],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    assert registry.build(name).count_params() == PUBLISHED[name]


@pytest.mark.parametrize("name", TRAINABLE)
def test_trainable_counts_are_the_published_ones(name):
    variables = registry.build(name).trainable_variables
    assert sum(int(np.prod(variable.shape)) for variable in variables) == TRAINABLE[name]


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_are_named_and_classes_are_a_parameter(name):
    model = registry.build(name, classes=5)
    assert sorted(registry.inputs(model)) == sorted(INPUTS[name])
    assert model.output_shape == (None, 5)


def test_hybrid_keeps_the_trunk_of_the_plain_network():
    def trunk(model):
        wanted = (keras.layers.Conv2D, keras.layers.BatchNormalization)
        return [
            tuple(v.shape)
            for layer in model.layers
            if isinstance(layer, wanted)
            for v in layer.weights
        ]

    assert trunk(registry.build("dsift_cnn")) == trunk(registry.build("cnn"))
    assert (
        len(trunk(registry.build("dsift_cnn", trunk="published"))) == 2 * 6
    )  # six convolutions, no normalisation


@pytest.mark.parametrize("name", ["cnn", "sift_cnn", "dsift_cnn", "vgg", "sift_vgg", "dsift_vgg"])
def test_dropout_of_system_a_is_the_published_one_unless_given(name):
    def rates(**parameters):
        model = registry.build(name, **parameters)
        return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    branch = [] if name in ("cnn", "vgg") else [0.2]
    cnn = name.endswith("cnn")
    assert rates() == [*([0.1, 0.1, 0.4] if cnn else [0.2] * 4), *branch, 0.5]
    assert rates(dropout=0.3) == [*([0.1, 0.1, 0.3] if cnn else [0.3] * 4), *branch, 0.3]


def test_probabilities_sum_to_one():
    model = registry.build("dsift_cnn")
    rng = np.random.default_rng(0)
    answer = model.predict_on_batch(
        {"image": rng.normal(size=(3, 48, 48, 1)), "dsift": rng.random((3, 2048))}
    )
    assert np.allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_multiply_adds_of_a_network_counted_by_hand():
    image = keras.layers.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert registry.multiply_adds(model) == 8 * 8 * 4 * 9 + 8 * 8 * 4 * 2
    outer = keras.layers.Input((8, 8, 1))
    assert registry.multiply_adds(keras.Model(outer, model(outer))) == registry.multiply_adds(model)


def test_system_e_takes_the_features_it_is_told():
    features = ("landmarks", "hog_windows")
    model = registry.build("model_a", features=features)
    assert sorted(registry.inputs(model)) == ["hog_windows", "image", "landmarks"]
    bare = registry.build("model_b", features=features, normalised=False)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in bare.layers)
    with pytest.raises(ValueError, match="feature eyes is unknown; there are landmarks"):
        registry.build("model_a", features=("eyes",))


def test_both_variants_of_the_shallow_cnn_are_there():
    def convolutions(variant):
        model = registry.build("shallow_cnn", variant=variant)
        return [
            layer.kernel.shape[-1]
            for layer in model.layers
            if isinstance(layer, keras.layers.Conv2D)
        ]

    assert convolutions("readme") == [32, 64] and convolutions("source") == [64, 128]
    with pytest.raises(ValueError, match="variant 'paper' is not one of readme, source"):
        registry.build("shallow_cnn", variant="paper")


def test_compact_is_within_its_limits():
    model = registry.build("compact")
    assert registry.multiply_adds(model) <= 100e6 and model.count_params() <= 2.5e6
    matched = registry.build("compact", **parameters.network("compact_matched")["parameters"])
    assert registry.multiply_adds(matched) <= 100e6 and matched.count_params() <= 2.5e6


def test_the_large_networks_have_four_and_ten_times_the_work_of_compact():
    residual, wide = (
        trainer.build(file["base"], recipes.read("large"), 0, **file["parameters"])
        for file in map(parameters.network, ("residual", "compact_wide"))
    )
    assert registry.side(residual) == registry.side(wide) == 44
    assert (residual.count_params(), registry.multiply_adds(residual)) == (11_195_131, 953_443_328)
    assert (wide.count_params(), registry.multiply_adds(wide)) == (4_738_115, 375_110_656)


def test_imagenet_weights_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(
        plain_cnns.WeightsError, match=r"none.h5: no such file; give Keras's vgg16_weights"
    ):
        registry.build("vgg16_imagenet", weights=str(tmp_path / "none.h5"))


def test_unknown_names_are_told_with_what_there_is():
    with pytest.raises(ValueError, match=r"'vgg17' is unknown; there are .*vgg"):
        registry.build("vgg17")
    with pytest.raises(ValueError, match=r"trunk 'other'"):
        registry.build("dsift_cnn", trunk="other")


def test_initial_weights_of_system_e_are_its_own_where_asked():
    def deviations(weights):
        model = registry.build("model_a", input_shape=(24, 24, 1), weights=weights)
        return [
            float(np.std(layer.kernel))
            for layer in model.layers
            if isinstance(layer, keras.layers.Dense)
        ]

    published, he = deviations("published"), deviations("he")
    assert published == pytest.approx([0.0176] * 2, rel=0.05)  # of 0.02, cut at two deviations
    assert he[0] == pytest.approx((2 / (6 * 6 * 128)) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match="weights 'large' is not one of he, published"):
        registry.build("model_a", weights="large")
