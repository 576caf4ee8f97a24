"""Limits of overlapping fits: the least holds while any runs, and the last to end restores what was before."""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import permutations

import numpy as np
import pytest
import threadpoolctl

import softgrad
from softgrad.linear_model import SoftmaxRegression
from softgrad.linear_model._thread_limits import limited_threads


def blas():
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def several_threads(threads):
    """BLAS and softgrad on more than one thread, whatever the machine has."""
    threads(5)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_least_limit_holds_until_its_block_ends(order):
    blocks = [ExitStack() for _ in range(3)]
    limits = [3, None, 1]
    for block, n_threads in zip(blocks, limits, strict=True):
        block.enter_context(limited_threads(n_threads))
    assert softgrad.get_num_threads() == 1
    running = dict(enumerate(limits))
    for ended in order:
        assert blas() == {1}
        blocks[ended].close()
        del running[ended]
        assert softgrad.get_num_threads() == min((n or 5 for n in running.values()), default=5)
    assert blas() == {2}


def test_one_block_may_raise_the_number_of_threads():
    with limited_threads(7):
        assert softgrad.get_num_threads() == 7
        with limited_threads(None):
            assert softgrad.get_num_threads() == 5
        assert softgrad.get_num_threads() == 7
    assert softgrad.get_num_threads() == 5


def test_a_number_set_during_a_block_stays():
    with limited_threads(1):
        softgrad.set_num_threads(3)
        with limited_threads(2):
            assert softgrad.get_num_threads() == 1
    assert softgrad.get_num_threads() == 3


def test_the_default_follows_the_affinity_again_after_a_block():
    softgrad.set_num_threads(None)
    with limited_threads(1), limited_threads(2):
        assert not softgrad._core.has_default_threads()
    assert softgrad._core.has_default_threads()
    with limited_threads(1):
        softgrad.set_num_threads(3)
    assert not softgrad._core.has_default_threads()


def test_overlapping_fits_leave_no_limit_behind():
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3

    def fit(i):
        model = SoftmaxRegression(n_threads=[None, 1, 2][i % 3])
        if i % 4 == 0:
            with pytest.raises(ZeroDivisionError):
                model.fit(X, y, on_iteration=lambda _: 1 / 0)
        elif i % 4 == 1:
            model.partial_fit(X, y, [0, 1, 2])
        else:
            model.fit(X, y)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fit, range(64)))
    assert softgrad.get_num_threads() == 5
    assert blas() == {2}


def test_a_fit_inside_a_callback_leaves_the_outer_limits():
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    during = []

    def inner(_):
        SoftmaxRegression(n_threads=2).fit(X, y)
        during.append((softgrad.get_num_threads(), blas()))

    SoftmaxRegression(n_threads=1).fit(X, y, on_iteration=inner)
    assert during[0] == (1, {1})
    assert softgrad.get_num_threads() == 5


def test_a_forked_process_has_no_limit_of_fits_that_it_does_not_run():
    began, end = threading.Event(), threading.Event()

    def other():
        with limited_threads(1):
            began.set()
            end.wait()

    thread = threading.Thread(target=other)
    thread.start()
    began.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python and JAX warn of threads
        child = os.fork()
    if not child:
        with limited_threads(3):
            inside = softgrad.get_num_threads()
        os._exit(0 if (inside, softgrad.get_num_threads(), blas()) == (3, 5, {2}) else 1)
    _, status = os.waitpid(child, 0)
    end.set()
    thread.join()
    assert status == 0
    assert softgrad.get_num_threads() == 5
