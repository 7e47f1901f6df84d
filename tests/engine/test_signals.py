"""Signals as requests to stop."""

import os
import signal
import time

import pytest

from avae.engine.signals import STOPPING, Interrupted, StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_may_come_twice_and_leaves_time_to_save(number):
    with StopRequest() as stop:
        for _ in range(2):
            os.kill(os.getpid(), number)
    assert stop.signal == number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_hangup_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def foreground():
    """Reset SIGINT as for a foreground process; shells let background processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("foreground")
def test_a_second_ctrl_c_does_not_wait():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_first_signal_is_answered_at_once(messages):
    with StopRequest():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        while not messages():
            time.sleep(0.01)
    assert messages() == [STOPPING]


def test_work_that_can_be_interrupted_is():
    with StopRequest() as stop:
        with pytest.raises(Interrupted), stop.interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted), stop.interruptible():
            pytest.fail("begun after the signal")
        os.kill(os.getpid(), signal.SIGTERM)  # outside it is recorded again
    assert stop.signal == signal.SIGTERM
