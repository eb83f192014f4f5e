"""What lies in params/ is read, and a mistake told."""
import pytest

from fercore import parameters
from fercore.parameters import ParameterError


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(ParameterError, match="profile big: unknown; there are full, published, quick, smoke"):
        parameters.profile("big")


@pytest.mark.parametrize("value, annotation, right", [
    (1, "int", True), (True, "int", False), (1, "float", True), ("1", "float", False), (None, "Optional[str]", True),
    (None, "str", False), ([1], "list[int]", True), (1, "list", False), ("x", "", True), (True, "bool", True),
])
def test_values_fit_annotations(value, annotation, right):
    assert parameters.fits(value, annotation) is right
