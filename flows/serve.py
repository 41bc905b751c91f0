"""`otce serve`: run a configuration on a schedule, on this machine."""

import os
from collections.abc import Iterable
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cyclopts import Parameter
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.schedules import Cron
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType

from flows.history import NUMBERED
from flows.rank import rank_zoo
from otce.config_file import load_config
from otce.errors import ClusterError, ConfigError

_LISTS = Parameter(negative=(), consume_multiple=True)


def serve_command(
    config: str,
    *,
    cron: str,
    timezone: str = "UTC",
    overrides: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    only: Annotated[list[str] | None, _LISTS] = None,
    since: str | None = None,
) -> int:
    """Rank a zoo on a schedule until interrupted, one run at a time; a late run waits.

    Needs a Prefect server (prefect server start) and PREFECT_API_URL, as the embedded server of a
    single run keeps no schedule. Runs are numbered unless the configuration names a run id.

    Args:
        config: YAML file, a path or any fsspec URI.
        cron: when, such as "0 2 * * *".
        timezone: of the schedule.
        overrides: changes to the configuration.
        only: globs of ids of models and targets; the others are left out.
        since: id of an earlier run, or previous: what failed for good there is not tried again
            unless its model or a data set changed.
    """
    if not get_current_settings().api.url:
        raise ClusterError(
            "a schedule needs a Prefect server, and PREFECT_API_URL is not set; start one with "
            "prefect server start and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    place = os.path.abspath(config) if "://" not in config else config  # noqa: PTH100
    changes = _numbered(place, overrides or ())
    try:
        schedule = Cron(cron, timezone=ZoneInfo(timezone).key)
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise ConfigError(f"--cron {cron} --timezone {timezone}: {error}") from error
    rank_zoo.serve(
        name=load_config(place, changes).execution.name,
        schedules=[schedule],
        parameters={"config_uri": place, "overrides": changes, "only": only, "since": since},
        # Of several servers of one deployment, too, one runs at a time.
        global_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
        ),
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return 0


def _numbered(config: str, overrides: Iterable[str]) -> list[str]:
    """Number the runs of a configuration that names no run id, so that history is kept."""
    changes = list(overrides)
    execution = load_config(config, changes).execution
    if execution.run_id is None:
        changes.append(f"execution.run_id={execution.name}-{NUMBERED}")
    return changes
