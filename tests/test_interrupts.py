"""Ctrl-C that waits for the end of a step, and only there; SIGTERM that counts as one."""

import signal
import threading

import pytest

from tuner.interrupts import held_interrupt, terminations


def _press():
    signal.raise_signal(signal.SIGINT)


def _hold(*steps):
    """Takes steps in a block in which Ctrl-C waits."""
    with held_interrupt():
        for step in steps:
            step()


def _fail():
    raise ValueError("the block fails")


class TestHeldInterrupt:
    def test_waits_for_the_end_of_the_block(self):
        done = []
        with pytest.raises(KeyboardInterrupt):
            _hold(_press, lambda: done.append(True))
        assert done

    def test_second_one_does_not_wait(self):
        done = []
        with pytest.raises(KeyboardInterrupt):
            _hold(_press, _press, lambda: done.append(True))
        assert not done

    def test_handler_is_the_old_one_behind_it(self):
        before = signal.getsignal(signal.SIGINT)
        with held_interrupt():
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(ValueError, match="the block fails"):
            _hold(_fail)
        assert signal.getsignal(signal.SIGINT) is before

    def test_is_not_lost_behind_an_error_of_the_block(self):
        with pytest.raises(KeyboardInterrupt):
            _hold(_press, _fail)

    def test_ignored_interrupts_stay_ignored(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            _hold(_press)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)

    def test_other_threads_leave_the_handler_alone(self):
        before, seen = signal.getsignal(signal.SIGINT), []

        def look():
            seen.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=_hold, args=(look,))
        thread.start()
        thread.join()
        assert seen == [before]


def _terminate():
    signal.raise_signal(signal.SIGTERM)


class TestTerminations:
    def test_are_interrupts_and_known(self):
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), terminations() as came:
            _terminate()
        assert came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is before

    def test_wait_where_interrupts_do(self):
        done = []
        with pytest.raises(KeyboardInterrupt), terminations():
            _hold(_terminate, lambda: done.append(True))
        assert done

    def test_stay_what_they_are_where_interrupts_are_ignored(self):
        before, interrupt = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with terminations():
                assert signal.getsignal(signal.SIGTERM) is before
        finally:
            signal.signal(signal.SIGINT, interrupt)
