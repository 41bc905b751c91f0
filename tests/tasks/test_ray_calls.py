"""Threads leave Ray before it is shut down: one that waited in it hung for ever, and its process.

An interrupted run did so in one of four cases on busy cores.
"""

import threading
import time

import pytest
import ray

from otce.config import ExecutionConfig
from tasks.cluster import cluster
from tasks.ray_calls import RayEndedError, finished, inside, result
from tasks.retry import Window


@ray.remote(max_retries=0, num_cpus=0)
def stay(seconds):
    time.sleep(seconds)
    return seconds


def started(work, ends):
    def run():
        try:
            work()
        except RayEndedError as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_threads_that_wait_in_ray_end_with_it_and_call_it_no_more():
    window = Window(4, attempts=3, time_limit_s=600)
    ends = []
    with cluster(ExecutionConfig(workers=1)):
        threads = [
            started(lambda: list(window.run([lambda: stay.remote(600)] * 2)), ends),
            started(lambda: result(stay.remote(600), 600), ends),
            started(lambda: [finished([stay.remote(600)]) for _ in range(600)], ends),
        ]
        assert result(stay.remote(0.5), 60) == 0.5
        assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(ends) == 3
    with pytest.raises(RayEndedError), inside():
        raise AssertionError


def test_a_result_that_is_late_is_refused():
    with (
        cluster(ExecutionConfig(workers=1)),
        pytest.raises(ray.exceptions.GetTimeoutError, match=r"not done after 0\.1 s"),
    ):
        result(stay.remote(60), 0.1)
