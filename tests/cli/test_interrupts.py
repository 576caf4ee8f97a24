"""Ctrl-C while the processes of a cluster start."""

import os
import signal
import threading
from multiprocessing import resource_tracker

import pytest

from softgrad.cli._interrupts import deferred_interrupts


@pytest.fixture
def tracker(monkeypatch):
    """The resource tracker of a process that has started no other."""
    tracker = resource_tracker.ResourceTracker()
    monkeypatch.setattr(resource_tracker, "ensure_running", tracker.ensure_running)
    yield tracker
    tracker._stop()


def test_a_process_that_starts_the_resource_tracker_is_not_interrupted(tracker, request):
    before = signal.getsignal(signal.SIGINT)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, a shell's commands ignore it
    masks = []

    def start_a_process():
        tracker.ensure_running()  # as multiprocessing does before each
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    def interrupt_a_start():
        with deferred_interrupts():
            thread = threading.Thread(target=start_a_process)
            thread.start()
            thread.join()
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupt_a_start()
    assert signal.SIGINT in masks[0]
