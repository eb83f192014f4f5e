"""Recipes: read with what they extend, checked, and the learning rate they give."""

import dataclasses

import pytest
import yaml

from fercore import paths
from fercore.config import NORMALISATIONS, recipes
from fercore.config.reading import ParameterError
from fercore.config.recipes import Recipe


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


def test_every_recipe_of_the_study_is_read():
    for path in paths.PARAMS.glob("recipes/*.yaml"):
        assert recipes.read(path.stem).epochs > 0
    assert recipes.read("published").epochs == 100
    assert recipes.read("study", epochs=2, batch_size=None).epochs == 2


def test_defaults_are_the_study_s_recipe():
    assert recipes.read("study") == Recipe()


def test_a_recipe_says_what_differs_from_the_one_it_extends():
    extended = dataclasses.asdict(recipes.read("compact_mixup"))
    base = dataclasses.asdict(recipes.read("compact"))
    differ = {key: value for key, value in extended.items() if value != base[key]}
    assert differ == {"epochs": 80, "mixup": 0.4}
    assert recipes.values("compact_mixup")["optimizer"] == "sgd"
    assert [path.stem for path in recipes.files("compact_mixup")] == [
        "compact_mixup",
        "compact",
        "study",
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty params/recipes/."""
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    (tmp_path / "recipes").mkdir()
    return tmp_path / "recipes"


@pytest.mark.parametrize(
    "files, words",
    [
        (
            {"a": "extends: b", "b": "extends: c", "c": "extends: b"},
            "c.yaml: extends b, a circle",
        ),
        ({"a": "extends: a"}, "a.yaml: extends a, a circle"),
        (
            {"a": "extends: stud", "study": "epochs: 1"},
            "a.yaml: extends recipe 'stud': no such file; did you mean 'study'?",
        ),
        ({"a": "extends: [study]"}, "a.yaml: extends recipe ['study']: no such file"),
        ({"a": "extends: b", "b": "epochs: 0"}, "b.yaml: epochs is 0: should be greater than 0"),
        ({"a": "extends: b", "b": "epoch: 3"}, "b.yaml: unknown key 'epoch'; did you mean 'epo"),
    ],
)
def test_what_cannot_be_extended_is_one_line(folder, files, words):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    with pytest.raises(ParameterError) as error:
        recipes.read("a")
    assert str(error.value).startswith(words)


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    changed = recipes.read("features_published", learning_rate=4e-5, dropout=0.2)
    path = tmp_path / "mine.yaml"
    path.write_text(f"# of my own\n{yaml.safe_dump(dataclasses.asdict(changed))}")
    assert recipes.read(str(path)) == changed
    assert recipes.read("params/recipes/study.yaml") == recipes.read("study")
    path.write_text("{extends: compact, epochs: 7}")
    assert recipes.read(str(path)) == recipes.read("compact", epochs=7)
    for missing in (str(tmp_path / "none.yaml"), "x" * 5000, "a\0b"):
        with pytest.raises(
            ParameterError, match="no such file; there are compact, compact_b"
        ) as error:
            recipes.read(missing)
        assert "\n" not in str(error.value)
    for text, message in (
        ("- 1", "keys and values expected, found list"),
        ("a: [", "not YAML"),
        ("{epochs: 3, 1: 2}", "mine.yaml: unknown key 1; there are batch_size"),
    ):
        path.write_text(text)
        with pytest.raises(ParameterError, match=message):
            recipes.read(str(path))


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "mixup: '0.2'",
            "mixup is '0.2': should be a valid number",
        ),
        (
            "learning_rate: 1e-y",
            "learning_rate is '1e-y': should be a valid number",
        ),
        ("epochs: null", "epochs is empty: should be a valid integer"),
        ("epochs: 2.5", "epochs is 2.5: should be a valid integer"),
        ("flip: 1", "flip is 1: should be a valid boolean"),
        ("rotation: true", "rotation is True: should be a valid number"),
        ("optimizer: [sgd]", "optimizer is ['sgd']: should be 'sgd', 'momentum' or 'adam'"),
        (
            "schedule: cosine",
            "schedule is 'cosine': should be 'one_cycle', 'constant' or 'exponential'",
        ),
        (
            "descriptor_scaling: {sift: 1}",
            "descriptor_scaling: sift is 1: should be a valid string",
        ),
        ("crop: 60", "crop is 60: should be less than or equal to 48"),
        ("small_side: 0", "small_side is 0: should be greater than or equal to 1"),
        ("dropout: 1", "dropout is 1: should be less than 1"),
        ("momentum: 1.5", "momentum is 1.5: should be less than 1"),
        ("warmup: 2", "warmup is 2: should be less than or equal to 1"),
        ("weight_decay: -0.1", "weight_decay is -0.1: should be greater than or equal to 0"),
        ("learning_rate: .inf", "learning_rate is inf: should be a finite number"),
    ],
)
def test_a_value_that_cannot_be_followed_is_named_with_its_file(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ParameterError) as error:
        recipes.read(str(tmp_path / "mine.yaml"))
    assert str(error.value).startswith(f"mine.yaml: {words}")


@pytest.mark.parametrize(
    "text, number", [("1e-3", 0.001), ("2E1", 20.0), ("1.5e+2", 150.0), (".5", 0.5), ("1", 1.0)]
)
def test_numbers_are_written_as_in_python(tmp_path, text, number):
    (tmp_path / "mine.yaml").write_text(f"learning_rate: {text}")
    assert recipes.read(str(tmp_path / "mine.yaml")).learning_rate == number


def test_a_value_given_by_a_notebook_is_not_blamed_on_the_file():
    with pytest.raises(ParameterError, match=r"^epochs is 2\.5: should be a valid integer$"):
        recipes.read("study", epochs=2.5)
    with pytest.raises(ParameterError, match=r"^unknown key 'epohcs'; did you mean 'epochs'"):
        recipes.read("study", epohcs=1)


def test_the_normalisations_are_those_of_the_data():
    words = recipes.Recipe.__annotations__["normalisation"].__args__
    assert words == NORMALISATIONS
