"""List data sets and hash their content, in this process: an idle run needs no Ray."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from otce.config import RunConfig
from otce.readable import open_readable
from tasks.census import Listed

_AT_ONCE: Final = 16


def list_dataset(dataset_id: str, config: RunConfig) -> Listed:
    """List a data set and hash its content.

    Args:
        dataset_id: its id.
        config: the run.

    Returns:
        The data set.

    Raises:
        OtceError: it cannot be listed or read, or is pinned to another digest.
    """
    chosen = config.datasets[dataset_id]
    found = open_readable(dataset_id, chosen, config.execution.storage_options)
    return Listed.of(dataset_id, chosen, found)


@task(task_run_name="list data sets", cache_policy=NO_CACHE, persist_result=False)
def list_all(
    ids: Sequence[str], config: RunConfig, on_listed: Callable[[], None]
) -> dict[str, Listed | Exception]:
    """List data sets, in this process: a run with nothing to do needs no Ray.

    Args:
        ids: which.
        config: the run.
        on_listed: called after each.

    Returns:
        By id the data set, or why there is none.
    """

    def tried(id_: str) -> Listed | Exception:
        try:
            return list_dataset(id_, config)
        except Exception as error:  # noqa: BLE001 - one data set's failure is not the others'
            return error
        finally:
            on_listed()

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return dict(zip(ids, pool.map(tried, ids), strict=True))
