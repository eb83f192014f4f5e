"""What holds for all tests."""

import signal

import pytest


@pytest.fixture(autouse=True)
def hang_ups_count():
    """Under nohup a hang-up is ignored, and the tests of it would wait for nothing."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
