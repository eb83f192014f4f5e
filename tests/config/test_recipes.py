"""Recipes: read, checked, and the learning rate they give."""

import pytest

from fercore import paths
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe, RecipeError


def test_one_cycle_rises_to_its_highest_rate_and_falls_to_zero():
    rates = [
        recipes.learning_rate(Recipe(learning_rate=0.4, warmup=0.25), step, 100)
        for step in range(100)
    ]
    assert max(rates) == pytest.approx(0.4) and rates.index(max(rates)) == 24
    assert rates[0] == pytest.approx(0.016) and rates[-1] < 1e-6
    halved = Recipe(schedule="exponential", learning_rate=0.4, decay=0.5, decay_steps=3)
    assert [recipes.learning_rate(halved, step, 9) for step in (0, 2, 3, 8)] == [0.4, 0.4, 0.2, 0.1]
    constant = Recipe(schedule="constant", learning_rate=0.1)
    assert {recipes.learning_rate(constant, step, 9) for step in range(9)} == {0.1}


def test_the_last_epoch_sees_whole_faces():
    small = [
        Recipe(epochs=epochs, small_side=24, small_share=0.6).small_epochs for epochs in (1, 2, 14)
    ]
    assert small == [0, 1, 8] and Recipe(epochs=14).small_epochs == 0


def test_recipes_are_checked():
    assert recipes.read("published").epochs == 100
    assert recipes.read("study", epochs=2, batch_size=None).epochs == 2
    with pytest.raises(RecipeError, match="recipe 'other' is unknown; params/recipes/ has compact"):
        recipes.read("other")
    with pytest.raises(
        RecipeError, match="schedule 'cosine' is none of one_cycle, constant, exponential"
    ):
        recipes.read("study", schedule="cosine")
    with pytest.raises(RecipeError, match="epochs is 0; it must be above 0"):
        recipes.read("study", epochs=0)
    with pytest.raises(RecipeError, match="colour is no part of a recipe"):
        recipes.read("study", colour=1)


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    changed = recipes.read("features_published", learning_rate=4e-5, dropout=0.2)
    path = recipes.write(changed, tmp_path / "mine.yaml", comment="of my own")
    assert path.read_text().startswith("# of my own\n") and recipes.read(str(path)) == changed
    assert recipes.read("params/recipes/study.yaml") == recipes.read("study")
    with pytest.raises(RecipeError, match=r"none.yaml: no such file; params/recipes/ has compact"):
        recipes.read(str(tmp_path / "none.yaml"))
    for text, message in (
        ("- 1", "keys and values expected, found list"),
        ("a: [", "not YAML"),
        ("{epochs: 3, 1: 2, colour: red}", "mine.yaml: 1, colour is no part of a recipe"),
    ):
        path.write_text(text)
        with pytest.raises(parameters.ParameterError, match=message):
            recipes.read(str(path))


@pytest.mark.parametrize(
    "text, words",
    [
        ("mixup: 2e-1", "mixup is '2e-1', float expected; YAML takes it for text: write 0.2"),
        (
            "ema_momentum: 9e-1",
            "ema_momentum is '9e-1', float expected; YAML takes it for text: write 0.9",
        ),
        (
            "weight_decay: 5e-4",
            "weight_decay is '5e-4', float expected; YAML takes it for text: write 0.0005",
        ),
        (
            "learning_rate: 1e-3",
            "learning_rate is '1e-3', float expected; YAML takes it for text: write 0.001",
        ),
        ("epochs: null", "epochs is empty, int expected"),
        ("epochs: 2.5", "epochs is 2.5, int expected"),
        ("batch_size: 1.5", "batch_size is 1.5, int expected"),
        ("flip: 1", "flip is 1, bool expected"),
        ("optimizer: [sgd]", "optimizer is ['sgd'], str expected"),
        ("descriptor_scaling: {sift: 1}", "descriptor_scaling: sift is 1, str expected"),
        ("crop: 60", "crop is 60; it must be 1 to 48, the side of a face; null for all of it"),
        (
            "small_side: 0",
            "small_side is 0; it must be 1 to 48, the side of a face; null for all of it",
        ),
        ("dropout: 1", "dropout is 1; it must be 0 or more and below 1"),
        ("momentum: 1.5", "momentum is 1.5; it must be 0 or more and below 1"),
        ("warmup: 2", "warmup is 2; it must be 0 to 1"),
        ("weight_decay: -0.1", "weight_decay is -0.1; it must be 0 or more"),
    ],
)
def test_a_value_that_cannot_be_followed_is_told_with_its_file(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        recipes.read(str(tmp_path / "mine.yaml"))
    assert str(error.value) == f"mine.yaml: {words}"


def test_a_value_given_by_a_notebook_is_not_blamed_on_the_file():
    with pytest.raises(RecipeError, match=r"^epochs is 2\.5, int expected$"):
        recipes.read("study", epochs=2.5)


def test_every_recipe_of_the_study_is_read():
    for path in (paths.PARAMS / "recipes").glob("*.yaml"):
        assert recipes.read(path.stem).epochs > 0
