"""Schema of what a run took: beside the other tables and never part of them, as clocks differ."""

from typing import Final

import pyarrow as pa

from otce.columns import INT, LATER, NUMBER, TEXT, column, schema

TIMINGS: Final = schema(
    "timings",
    column(
        "step",
        TEXT,
        "load (a model on an actor), extract (features of a data set) or solve (a pair's scores)",
    ),
    column("source_model", TEXT, "id of the source model"),
    column("dataset", TEXT, "id of the data set: that is extracted, or the pair's target; null"),
    column("calls", INT, "loads, shards or repetitions that were done, repeated ones included"),
    column("worker_s", NUMBER, "wall time within the workers, waiting not included", unit="s"),
    column("gpu_s", NUMBER, "worker_s times the GPUs that the actor holds", unit="s"),
    column("images", INT, "images that were run through the model"),
    column("images_per_s", NUMBER, "images by worker_s", unit="1/s", direction="higher"),
    column("read_bytes", pa.int64(), "bytes read of images or weights by the worker", unit="byte"),
    column("batch_size", INT, "images a forward pass that were asked for"),
    column("device", TEXT, "name of the device; of several, all"),
    column("n_iter", pa.int64(), "iterations of the solver, over all repetitions and metrics"),
    column("cpu_s", NUMBER, "processor time within the workers", unit="s", later=LATER),
)
"""A row per step, model and data set that the run computed; what was in the store took nothing."""
