"""Ten thousand pieces of work through a window: bounded in flight, and the driver does not grow."""

from functools import partial
from itertools import islice

import psutil
import pytest
import ray

from otce.config import ExecutionConfig
from tasks.cluster import cluster
from tasks.retry import Window

N_ITEMS, LIMIT = 10_000, 8


@ray.remote(max_retries=0, num_cpus=1)
def _echo(index: int) -> int:
    return index


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_flooded_window_stays_bounded_moves_on_and_keeps_the_driver_small():
    driver = psutil.Process()
    with cluster(ExecutionConfig(workers=2)):
        window = Window(LIMIT, attempts=3, time_limit_s=600)
        running = window.run([partial(_echo.remote, index) for index in range(N_ITEMS)])
        seen: list[int] = []
        flying, memory = [], []
        for _ in range(10):
            for index, result in islice(running, N_ITEMS // 10):
                assert result == index
                seen.append(index)
                flying.append(window.in_flight)
            memory.append(driver.memory_info().rss)
    assert sorted(seen) == list(range(N_ITEMS))
    assert max(flying) <= LIMIT
    assert window.in_flight == 0
    # The first tenth starts workers and connections.
    assert max(memory) - memory[0] < 16 * 2**20
