"""The first signal is held back until what is begun is kept; then it does what it always did."""

import os
import signal
import threading

import pytest

from tasks.stopping import StoppingError, begin, stopped_in_order


def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def as_the_command_sets_them():
    before = handlers()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def stopped(*signals, then=lambda: None):
    """Send signals within, then do something."""
    with stopped_in_order():
        begin()
        for one in signals:
            os.kill(os.getpid(), one)
        then()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_the_block_end_and_nothing_begin(sent, capfd):
    before, ended = handlers(), []

    def refused():
        with pytest.raises(StoppingError):
            begin()
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        stopped(sent, then=refused)
    assert ended
    assert handlers() == before
    assert "nothing new is begun, what is begun has 30 s" in capfd.readouterr().err
    stopped()


def test_the_second_signal_ends_the_block():
    before, ended = handlers(), []
    with pytest.raises(KeyboardInterrupt):
        stopped(signal.SIGTERM, signal.SIGINT, then=lambda: ended.append(True))
    assert not ended
    assert handlers() == before


def test_what_handled_a_signal_before_has_it_in_the_end():
    """Prefect cancels a flow by a SIGTERM that it handles itself."""
    got, early = [], []
    signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    with pytest.raises(KeyboardInterrupt):
        stopped(signal.SIGTERM, then=lambda: early.extend(got))
    assert (early, got) == ([], [signal.SIGTERM])


def test_a_run_in_the_background_stays_deaf_to_ctrl_c():
    """Its run once went on after the signal, and missed the pairs that it had not begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stopped_in_order():
        os.kill(os.getpid(), signal.SIGINT)
        begin()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_threads_other_than_the_first_handle_no_signals():
    done = []

    def work():
        with stopped_in_order():
            begin()
            done.append(handlers())

    before = handlers()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]
