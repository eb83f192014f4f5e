"""What holds for all tests."""

import signal
from functools import lru_cache

import pytest

from fercore.data import synthetic

DEFAULTS = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


@pytest.fixture(autouse=True)
def signals_count():
    """Under nohup and in the background some signals are ignored, and the tests of them would wait
    for nothing."""
    before = {number: signal.getsignal(number) for number in DEFAULTS}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, DEFAULTS[number])
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="session")
def faces_are_drawn_once():
    """Tests that have a cache of their own would draw the same faces for seconds each."""
    drawing = synthetic.faces
    synthetic.faces = lru_cache(drawing)
    yield
    synthetic.faces = drawing


def pytest_collection_modifyitems(items):
    """The file that takes longest begins, so that the other processes do all others meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_run_all.py")
