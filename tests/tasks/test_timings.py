"""What calls took is summed up by step, model and data set."""

from concurrent.futures import ThreadPoolExecutor

from otce.storage.files import read_bytes
from otce.timing_table import TIMINGS
from tasks.timings import Meter, Spent, Timings


def test_calls_are_summed_up_and_what_is_not_known_stays_null():
    timings = Timings()
    timings.add("load", "b", "", Spent(0.5, 100, device="cpu"))
    for device, batch in (("H100", 8), ("cpu", 1), ("H100", 8)):
        timings.add("extract", "a", "bay", Spent(2.0, 10, 4, batch, device, cpu_s=1.5))
    timings.add("solve", "a", "bay", Spent(1.0, 0, n_iter=7))
    timings.add("solve", "a", "bay", Spent(0.5, 0, n_iter=8))
    found = timings.table(gpus_per_actor=0.25)
    assert found.schema.equals(TIMINGS, check_metadata=True)
    extract, load, solve = found.to_pylist()
    assert extract == {
        "step": "extract",
        "source_model": "a",
        "dataset": "bay",
        "calls": 3,
        "worker_s": 6.0,
        "gpu_s": 1.5,
        "images": 12,
        "images_per_s": 2.0,
        "read_bytes": 30,
        "batch_size": 8,
        "device": "H100, cpu",
        "n_iter": None,
        "cpu_s": 4.5,
    }
    assert (load["dataset"], load["gpu_s"], load["images"]) == (None, 0.125, None)
    assert (solve["worker_s"], solve["gpu_s"], solve["n_iter"]) == (1.5, 0.0, 15)
    assert (timings.solve_s("a", "bay"), timings.solve_s("b", "bay")) == (1.5, 0.0)


def test_a_meter_counts_the_bytes_that_threads_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1000)
    meter = Meter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read_bytes(str(path)), range(50)))
    spent = meter.spent(images=50)
    assert (spent.read_bytes, spent.images) == (50_000, 50)
    assert spent.worker_s > 0 < spent.cpu_s


def test_all_that_is_told_of_a_table_stands_in_its_columns():
    assert all(field.metadata[b"meaning"] for field in TIMINGS)
    assert Timings().table(1.0).num_rows == 0
