"""What a run's scores cost beside the short fine-tunes of a measurement."""

from otce.storage.files import StorageOptions
from otce.storage.store import Store
from otce.timing_table import TIMINGS
from otce.truth.compute import Compute, compute_of
from otce.truth.read import read_truth_timings


def compute_beside(
    store: Store, folder: str, truth: str, options: StorageOptions | None = None
) -> Compute | None:
    """Compare what a run took with what lies beside a truth.

    Args:
        store: the store.
        folder: key of the run.
        truth: path or URI of what was measured.
        options: fsspec options by protocol, for the truth.

    Returns:
        The comparison; None where either is not there, or they cannot be compared.

    Raises:
        DataError: what lies beside the truth is no table of transfers.
        StoreError: something cannot be read.
    """
    key = f"{folder}/timings.parquet"
    if not store.exists(key):
        return None
    timings = store.get_table(key, TIMINGS).to_pylist()
    return compute_of(timings, read_truth_timings(truth, options))
