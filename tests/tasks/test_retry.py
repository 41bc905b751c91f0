"""One retry rule: transient failures are tried again, others never; work in flight is bounded."""

import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import ray

from otce.errors import (
    DataError,
    LostFeaturesError,
    ModelError,
    StoreUnavailableError,
    WorkerDiedError,
)
from tasks.retry import GaveUpError, Window, attempt, explained
from tasks.stopping import StoppingError


@ray.remote(max_retries=0, num_cpus=0.5)
def work(folder, index, *, die_until=0, fail=None, stay_s=0.0):
    path = Path(folder) / f"{index}"
    with path.open("a") as file:
        file.write("x")
    if len(path.read_text()) <= die_until:
        os._exit(1)
    time.sleep(stay_s)
    if fail:
        raise fail
    return index


def window(limit=4, attempts=3, time_limit_s=60.0):
    return Window(limit, attempts=attempts, time_limit_s=time_limit_s)


def tries(folder, index=0):
    return len((folder / f"{index}").read_text())


def test_every_result_comes_back_with_its_position(ray_plan, tmp_path):
    submits = [partial(work.remote, str(tmp_path), i) for i in range(20)]
    assert dict(window().run(submits)) == {i: i for i in range(20)}


def test_a_dead_worker_is_a_transient_failure_and_its_task_is_repeated(ray_plan, tmp_path):
    submits = [partial(work.remote, str(tmp_path), 0, die_until=2)]
    assert dict(window().run(submits)) == {0: 0}
    assert tries(tmp_path) == 3


def test_a_task_whose_every_worker_dies_is_given_up_and_the_others_finish(ray_plan, tmp_path):
    submits = [
        partial(work.remote, str(tmp_path), 0, die_until=99),
        partial(work.remote, str(tmp_path), 1),
    ]
    results = dict(window().run(submits))
    assert isinstance(results[0], GaveUpError)
    assert isinstance(results[0].error, WorkerDiedError)
    assert results[0].attempts == tries(tmp_path) == 3
    assert results[1] == 1


def test_our_own_permanent_error_arrives_as_itself_and_is_not_repeated(ray_plan, tmp_path):
    submits = [partial(work.remote, str(tmp_path), 0, fail=DataError("tile 7: no such class"))]
    result = dict(window().run(submits))[0]
    assert isinstance(result.error, DataError)
    assert str(result.error) == "tile 7: no such class"
    assert tries(tmp_path) == 1


def test_an_unexpected_error_is_named_and_not_repeated(ray_plan, tmp_path):
    result = dict(window().run([partial(work.remote, str(tmp_path), 0, fail=KeyError("k"))]))[0]
    assert "unexpected KeyError in a worker: 'k'" in str(result)
    assert tries(tmp_path) == 1


def test_a_task_over_its_time_limit_is_ended_and_counts_as_transient(ray_plan, tmp_path):
    submits = [partial(work.remote, str(tmp_path), 0, stay_s=600)]
    result = dict(window(attempts=2, time_limit_s=2).run(submits))[0]
    assert isinstance(result.error, WorkerDiedError)
    assert tries(tmp_path) == 2


def test_never_more_in_flight_than_the_limit_over_all_threads(ray_plan, tmp_path):
    flying, most, lock = set(), [0], threading.Lock()
    shared = window(limit=3)

    def submit(name):
        with lock:
            flying.add(name)
            most[0] = max(most[0], len(flying))
        return work.remote(str(tmp_path), name)

    def use(thread):
        for index, _ in shared.run([partial(submit, f"{thread}-{i}") for i in range(8)]):
            with lock:
                flying.discard(f"{thread}-{index}")

    threads = [threading.Thread(target=use, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not flying
    # A result is counted as landed a moment after its place is free again.
    assert most[0] <= 3 + len(threads)


def test_leaving_a_window_early_gives_its_places_back(ray_plan, tmp_path):
    shared = window(limit=2)
    for _ in shared.run([partial(work.remote, str(tmp_path), i, stay_s=0.1) for i in range(6)]):
        break
    results = dict(shared.run([partial(work.remote, str(tmp_path), i) for i in range(4)]))
    assert len(results) == 4


def test_tasks_that_refuse_to_begin_are_left_out_once_the_others_are_done(ray_plan, tmp_path):
    shared, found = window(limit=2), []

    def submit(index):
        if index > 2:
            raise StoppingError
        return work.remote(str(tmp_path), index)

    with pytest.raises(StoppingError):
        found.extend(shared.run([partial(submit, i) for i in range(6)]))
    assert sorted(found) == [(0, 0), (1, 1), (2, 2)]
    assert len(dict(shared.run([partial(submit, i) for i in range(3)]))) == 3


def test_attempt_recovers_after_every_transient_failure_and_no_other():
    recovered = []

    def failing(error):
        raise error

    with pytest.raises(GaveUpError) as caught:
        attempt(
            partial(failing, StoreUnavailableError("slow down")),
            attempts=3,
            recover=lambda: recovered.append(1),
        )
    assert (caught.value.attempts, len(recovered)) == (3, 3)
    with pytest.raises(GaveUpError) as caught:
        attempt(partial(failing, ModelError("no")), attempts=3, recover=lambda: recovered.append(1))
    assert (caught.value.attempts, len(recovered)) == (1, 3)


def test_explained_keeps_our_errors_and_names_others():
    assert isinstance(explained(DataError("x")), DataError)
    assert "unexpected ZeroDivisionError" in str(explained(ZeroDivisionError("by 0")))


def test_lost_features_are_told_from_failures_and_not_asked_for_again_in_vain():
    """Whatever lacked features of a node that ended was once a permanent failure."""
    lost = ray.exceptions.RayTaskError(
        "solve", "", ray.exceptions.ObjectLostError("00", "127.0.0.1:1", "")
    )
    found = explained(lost)
    assert isinstance(found, LostFeaturesError)
    assert found.transient

    def fail():
        raise lost

    with pytest.raises(GaveUpError, match="lost with the node that held them") as caught:
        attempt(fail, attempts=3, recover=lambda: None)
    assert caught.value.attempts == 1
