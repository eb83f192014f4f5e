"""What lies in params/ is read, and a mistake told."""

import pytest

from fercore import paths
from fercore.config import parameters
from fercore.config.parameters import ParameterError


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(
        ParameterError, match="profile big: unknown; there are full, published, quick, smoke"
    ):
        parameters.profile("big")


@pytest.mark.parametrize(
    "value, annotation, right",
    [
        (1, "int", True),
        (True, "int", False),
        (1, "float", True),
        ("1", "float", False),
        (None, "Optional[str]", True),
        (None, "str", False),
        ([1], "list[int]", True),
        (1, "list", False),
        ("x", "", True),
        (True, "bool", True),
    ],
)
def test_values_fit_annotations(value, annotation, right):
    assert (parameters.misfit("x", value, annotation) is None) is right


@pytest.mark.parametrize(
    "value, annotation, said",
    [
        ("2e-1", "float", "x is '2e-1', float expected; YAML takes it for text: write 0.2"),
        (
            "1e-5",
            "Optional[float]",
            "x is '1e-5', Optional[float] expected; YAML takes it for text: write 1.0e-05",
        ),
        ("1e3", "int", "x is '1e3', int expected; YAML takes it for text: write 1000"),
        ("fast", "float", "x is 'fast', float expected"),
        (["a", 1], "list[str]", "x is 1, str expected"),
        ("a", "list[str]", "x is 'a', list[str] expected; write [a]"),
        (
            {"a": {"b": None}},
            "dict[str, dict[str, float]] | None",
            "x: a: b is empty, float expected",
        ),
        ({"a": None}, "dict[str, dict | None]", None),
        ({"a": 5}, "dict[str, dict | None]", "x: a is 5, dict | None expected"),
    ],
)
def test_what_does_not_fit_is_named_with_its_cure(value, annotation, said):
    assert parameters.misfit("x", value, annotation) == said


@pytest.mark.parametrize(
    "content, words",
    [
        ("seeds: 3", "small.yaml: seeds is 3, list[int] expected; write [3]"),
        (
            "notebooks: 01_eda",
            "small.yaml: notebooks is '01_eda', list[str] expected; write [01_eda]",
        ),
        ("parameters: {10_cnn: 5}", "small.yaml: parameters: 10_cnn is 5, dict | None expected"),
        ("networks: {official: }", "small.yaml: networks: official is empty, list[str] expected"),
        (
            "networks: {official: cnn}",
            "small.yaml: networks: official is 'cnn', list[str] expected; write [cnn]",
        ),
        (
            "minutes: {FER2013: {10_cnn: long}}",
            "small.yaml: minutes: FER2013: 10_cnn is 'long', float expected",
        ),
        ("requires_fer2013: 1", "small.yaml: requires_fer2013 is 1, bool expected"),
        ("# all of it", "small.yaml: keys and values expected, found nothing"),
        ("description: caf\xe9", "small.yaml: not YAML"),
    ],
)
def test_a_profile_of_wrong_types_is_one_line(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/small.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(ParameterError) as error:
        parameters.profile("small")
    assert str(error.value).startswith(words)


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
            "net.yaml: teachers is 'cnn', list[str] expected; write [cnn]",
        ),
        (
            "{notebook: 10_cnn, published: {official: 65}}",
            "net.yaml: published: official is 65, dict[str, float] expected",
        ),
    ],
)
def test_a_network_file_is_checked(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks/net.yaml").write_text(content)
    with pytest.raises(ParameterError) as error:
        parameters.network("net")
    assert str(error.value) == words
