"""What stands in params/ is read; a mistake is one line that says what is valid."""

import runpy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fercore import paths
from fercore.config import parameters, reading, recipes
from fercore.config.parameters import ParameterError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into an empty params/."""
    monkeypatch.setattr(paths, "PARAMS", tmp_path)

    def to(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding=encoding)
        return path

    return to


def test_every_file_of_the_study_is_read():
    known = {"demonstration", "full", "published", "quick", "rederived", "smoke"}
    assert {parameters.profile(name).name for name in parameters.names("profiles")} == known
    for name in parameters.names("networks"):
        assert parameters.network(name)["notebook"] in reading.notebooks()
    assert "descriptor" in parameters.changes()


def test_the_page_of_all_keys_is_current():
    page = runpy.run_path(str(paths.ROOT / "docs/parameters.py"))["page"]()
    held = (paths.ROOT / "docs/parameters.md").read_text()
    assert held == page, "run docs/parameters.py"


@pytest.mark.parametrize(
    "value, annotation, said",
    [
        (1, "int", None),
        (True, "int", "x is True: should be a valid integer"),
        (1, "float", None),
        (None, "Optional[str]", None),
        (None, "str", "x is empty: should be a valid string"),
        ([1], "list[int]", None),
        (1, "list", "x is 1: should be a valid list"),
        ("anything", "", None),
        ("anything", "Path", None),
        (True, "bool", None),
        (
            "2e-1",
            "float",
            "x is '2e-1': should be a valid number",
        ),
        (
            "1e-5",
            "Optional[float]",
            "x is '1e-5': should be a valid number",
        ),
        ("1e3", "int", "x is '1e3': should be a valid integer"),
        ("fast", "float", "x is 'fast': should be a valid number"),
        (["a", 1], "list[str]", "x is 1: should be a valid string"),
        ("a", "list[str]", "x is 'a': should be a valid list"),
        (
            {"a": {"b": None}},
            "dict[str, dict[str, float]]",
            "x: a: b is empty: should be a valid number",
        ),
    ],
)
def test_the_parameters_of_notebooks_are_checked(value, annotation, said):
    assert reading.misfit("x", value, annotation) == said


def test_a_message_shows_at_most_80_characters_of_what_was_given():
    said = reading.misfit("x", "a\0" * 5000, "int")
    assert len(said) < 130 and said.isprintable()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ParameterError, match="'big': no such file in params/profiles/; "):
        parameters.profile("big")
    with pytest.raises(ParameterError, match=r"'vg16_scratch'.* did you mean 'vgg16_"):
        parameters.network("vg16_scratch")
    with pytest.raises(ParameterError, match=r"notebook '10_cn': .* did you mean '10_cnn'"):
        reading.cells("10_cn")
    with pytest.raises(ParameterError, match=r"'../recipes/study': no such file"):
        parameters.network("../recipes/study")


@pytest.mark.parametrize(
    "content, words",
    [
        ("seeds: 3", "small.yaml: seeds is 3: should be a valid list"),
        (
            "notebooks: 01_eda",
            "small.yaml: notebooks is '01_eda': should be a valid list",
        ),
        ("parameters: {10_cnn: 5}", "small.yaml: parameters: 10_cnn is 5: should be a valid dict"),
        (
            "networks: {official: }",
            "small.yaml: networks: official is empty: should be a valid list",
        ),
        (
            "networks: {official: cnn}",
            "small.yaml: networks: official is 'cnn': should be a valid list",
        ),
        (
            "minutes: {FER2013: {10_cnn: long}}",
            "small.yaml: minutes: FER2013: 10_cnn is 'long': should be a valid number",
        ),
        ("requires_fer2013: 1", "small.yaml: requires_fer2013 is 1: should be a valid boolean"),
        ("name: small", "small.yaml: unknown key 'name'; there are data, description"),
        ("seed: [1]", "small.yaml: unknown key 'seed'; did you mean 'seeds'?"),
        ("# all of it", "small.yaml: keys and values expected, found nothing"),
        ("description: caf\xe9", "small.yaml: not YAML"),
        ("description: [", "small.yaml, line 2: not YAML"),
    ],
)
def test_a_profile_that_is_not_understood(write, content, words):
    write("profiles/small.yaml", content + "\n", "latin-1")
    with pytest.raises(ParameterError) as error:
        parameters.profile("small")
    assert str(error.value).startswith(words) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, words",
    [
        ("recipe: study", "net.yaml: needs `notebook`"),
        ("{notebook: 10_cnn, recipe: study, inputs: [image]}", "net.yaml: needs `base`"),
        (
            "{notebook: 10_cnn, recipie: study}",
            "net.yaml: unknown key 'recipie'; did you mean 'recipe'?",
        ),
        (
            "{notebook: 10_cnn, teachers: cnn}",
            "net.yaml: teachers is 'cnn': should be a valid list",
        ),
        (
            "{notebook: 10_cnn, published: {official: 65}}",
            "net.yaml: published: official is 65: should be a valid dict",
        ),
        ("{notebook: 10_cnn, views: 3}", "net.yaml: views is 3: should be 1, 2 or 10"),
        (
            "{notebook: 10_cnn, soft_labels: ferplu}",
            "net.yaml: soft_labels is 'ferplu': should be 'ferplus'",
        ),
        (
            "{notebook: 10_cnn, fine_tuning: {recipe: study, trainble_from: x}}",
            "net.yaml: fine_tuning: unknown key 'trainble_from'",
        ),
        (
            "{notebook: 10_cnn, published_parameters: 0}",
            "net.yaml: published_parameters is 0: should ",
        ),
    ],
)
def test_a_network_that_is_not_understood(write, content, words):
    write("networks/net.yaml", content)
    with pytest.raises(ParameterError) as error:
        parameters.network("net")
    assert str(error.value).startswith(words)


def test_a_network_with_a_model_of_its_own_needs_no_base(write):
    write("networks/net.yaml", "{notebook: n, recipe: r, inputs: [image], model: my.keras}")
    assert parameters.network("net") == {
        "notebook": "n",
        "recipe": "r",
        "inputs": ["image"],
        "model": "my.keras",
    }


@pytest.mark.parametrize(
    "content, words",
    [
        ("pair: {members: [cnn]}", "pair: members is ['cnn']: List should have at least 2 items"),
        (
            "pair: {members: [cnn, vgg], optional: [vgg16]}",
            "pair: `optional` must name some of its",
        ),
        ("pair: {members: [cnn, vgg], optional: [vgg]}", "pair: `optional` must name some of its"),
        ("pair: {members: [cnn, vgg", None),
        ("pair: [cnn, vgg]", "pair is ['cnn', 'vgg']: should be keys with values"),
        ("pair: {members: cnn}", "pair: members is 'cnn': should be a valid list"),
        ("pair: {members: [cnn, 3]}", "pair: members is 3: should be a valid string"),
        ("pair: {members: [cnn, vgg], optionl: [vgg]}", "pair: unknown key 'optionl'; did you"),
    ],
)
def test_an_aggregate_that_is_not_understood(write, content, words):
    write("aggregates.yaml", content)
    with pytest.raises(ParameterError) as error:
        parameters.aggregates()
    place = "aggregates.yaml: " if words else "aggregates.yaml, line 2: not YAML"
    assert str(error.value).startswith(place + (words or ""))


def test_aggregates_stand_for_the_published_recipe_too():
    found = parameters.aggregates()
    assert found["aggregated_cnn"].members == ["cnn", "sift_cnn", "dsift_cnn"]
    assert found["aggregated_cnn_published"].members == [
        f"{name}_published" for name in found["aggregated_cnn"].members
    ]
    assert found["aggregated_vgg"].published == {"pooled_64_16_20": {"test": 70.37}}


@pytest.mark.parametrize(
    "content, words",
    [
        ("sift: {title: SIFT}", "sift: needs `pairs`"),
        ("sift: {title: SIFT, pairs: [[cnn]]}", "sift: pairs is ['cnn']: List should have at lea"),
        ("sift: {title: SIFT, pairs: []}", "sift: pairs is []: List should have at least 1 item"),
        ("sift: {title: SIFT, pairs: 5}", "sift: pairs is 5: should be a valid list"),
        (
            "sift: {title: SIFT, pairs: [[cnn, [vgg]]]}",
            "sift: pairs is ['vgg']: should be a valid string",
        ),
        (
            "sift: {title: SIFT, pairs: [[cnn, sift_cn]]}",
            "sift: 'sift_cn' is no network or aggregate; did you mean 'sift_cnn'?",
        ),
    ],
)
def test_a_change_that_is_not_understood(write, content, words):
    write("changes.yaml", content)
    for name in ("cnn", "vgg", "sift_cnn"):
        write(f"networks/{name}.yaml", "")
    with pytest.raises(ParameterError) as error:
        parameters.changes()
    assert str(error.value).startswith(f"changes.yaml: {words}")


WORDS = st.sampled_from(
    ["epochs", "flip", "extends", "!!int", "!!timestamp", "2001-99-99", "0x", "&a"]
)
SIGNS = [":", "[", "]", "{", "}", ",", "-", "?", "!", "|", "*", "\n"]
TEXTS = st.lists(WORDS | st.sampled_from(SIGNS) | st.text(max_size=4))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=TEXTS.map(" ".join) | st.binary(max_size=40))
def test_any_bytes_are_a_recipe_or_one_line(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="replace"))
    try:
        assert recipes.read(str(path)).epochs > 0
    except ParameterError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 700
