"""Recipes: read, checked, and the learning rate they give."""
import pytest

from fercore import recipes
from fercore.recipes import Recipe, RecipeError


def test_one_cycle_rises_to_its_highest_rate_and_falls_to_zero():
    rates = [recipes.learning_rate(Recipe(learning_rate=0.4, warmup=0.25), step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.4) and rates.index(max(rates)) == 24
    assert rates[0] == pytest.approx(0.016) and rates[-1] < 1e-6
    halved = Recipe(schedule="exponential", learning_rate=0.4, decay=0.5, decay_steps=3)
    assert [recipes.learning_rate(halved, step, 9) for step in (0, 2, 3, 8)] == [0.4, 0.4, 0.2, 0.1]
    constant = Recipe(schedule="constant", learning_rate=0.1)
    assert {recipes.learning_rate(constant, step, 9) for step in range(9)} == {0.1}


def test_the_last_epoch_sees_whole_faces():
    small = [Recipe(epochs=epochs, small_side=24, small_share=0.6).small_epochs for epochs in (1, 2, 14)]
    assert small == [0, 1, 8] and Recipe(epochs=14).small_epochs == 0


def test_recipes_are_checked():
    assert recipes.read("published").epochs == 100
    assert recipes.read("study", epochs=2, batch_size=None).epochs == 2
    with pytest.raises(RecipeError, match="recipe 'other' is unknown; params/recipes/ has compact"):
        recipes.read("other")
    with pytest.raises(RecipeError, match="schedule 'cosine' is none of one_cycle, constant, exponential"):
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
    for text, message in (("- 1", "keys and values expected, found list"), ("a: [", "not YAML"),
                          ("learning_rate: 1e-3", "learning_rate is '1e-3', a text; YAML takes 1.0e-3"),
                          ("dropout: 1", "dropout is 1; it must be 0 or more and below 1")):
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            recipes.read(str(path))
