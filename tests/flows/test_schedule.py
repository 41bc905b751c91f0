"""A schedule on a real Prefect server: it creates runs, a worker executes them, tables appear.

Minutes long, as cron has no shorter step.
"""

import itertools
import json
import time
from datetime import datetime

import pyarrow.parquet as pq
import pytest
import yaml

from tests.schedule import ROOT, ask, create_pools, environment, prefect, running
from tests.zoo import write_zoo, zoo_config

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1500)]
LIMIT_S = 600


def every_minute(folder):
    """The deployments of infra/prefect.yaml as they are, but each minute and switched on."""
    text = (ROOT / "infra/prefect.yaml").read_text()
    path = folder / "prefect.yaml"
    path.write_text(
        text.replace('"0 2 * * *"', '"* * * * *"').replace("active: false", "active: true")
    )
    described = yaml.safe_load(path.read_text())["deployments"][0]["schedules"]
    assert described == [{"cron": "* * * * *", "timezone": "UTC", "active": True}]
    return path


def wait_for(happened, process, log, limit_s=LIMIT_S):
    deadline_s = time.monotonic() + limit_s
    while not (found := happened()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.5)
    return found


def runs_of(api, deployment_id):
    wanted = {"deployments": {"id": {"any_": [deployment_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
    return ask(api, "flow_runs/filter", wanted)


def completed(api, deployment_id, count):
    found = [run for run in runs_of(api, deployment_id) if run["state_type"] == "COMPLETED"]
    return found if len(found) >= count else None


def tables(folder, run_id):
    path = folder / "store/runs" / run_id
    return {n: (path / f"{n}.parquet").read_bytes() for n in ("scores", "summary", "references")}


def assert_one_at_a_time(runs):
    spans = sorted(
        (datetime.fromisoformat(run["start_time"]), datetime.fromisoformat(run["end_time"]))
        for run in runs
    )
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_the_deployment_runs_on_its_schedule_and_only_once_what_did_not_change(
    tmp_path, prefect_api
):
    config = zoo_config(models=2)
    del config["execution"]["run_id"]
    path = write_zoo(tmp_path, config)
    env = environment(
        prefect_api, OTCE_CONFIG=str(path), OTCE_STORE=str(tmp_path / "store"), OTCE_IMAGE="otce"
    )
    create_pools(env)
    described = every_minute(tmp_path)
    prefect("deploy", "--name", "nightly", "--prefect-file", described, env=env)
    deployment = ask(prefect_api, "deployments/name/rank-zoo/nightly")
    log = tmp_path / "worker.log"
    worker = ("prefect", "worker", "start", "--pool", "otce")
    try:
        with running(*worker, env=env, log=log) as process:
            first = wait_for(lambda: completed(prefect_api, deployment["id"], 1), process, log)
            before = tables(tmp_path, "nightly-0001")
            both = wait_for(lambda: completed(prefect_api, deployment["id"], 2), process, log)
    finally:
        prefect("deployment", "delete", "rank-zoo/nightly", env=env)
    # The server's scheduler made them, nobody's hand.
    assert all(run["auto_scheduled"] for run in both)
    assert first[0]["work_pool_name"] == "otce"
    assert_one_at_a_time(both)
    # The second run found nothing to do: the same number, the same bytes, and the manifest of the
    # start that wrote them.
    assert [p.name for p in (tmp_path / "store/runs").iterdir()] == ["nightly-0001"]
    assert tables(tmp_path, "nightly-0001") == before
    manifest = json.loads((tmp_path / "store/runs/nightly-0001/manifest.json").read_text())
    assert manifest["pairs"] == {"total": 4, "computed": 4, "reused": 0, "failed": 0}
    rows = pq.read_table(tmp_path / "store/runs/nightly-0001/summary.parquet").to_pylist()
    assert {(row["source_model"], row["target_dataset"]) for row in rows} == {
        (f"net-{n}", city) for n in range(2) for city in ("birch", "dune")
    }


def test_otce_serve_runs_the_zoo_on_a_schedule_without_a_worker(tmp_path, prefect_api):
    config = zoo_config(models=1, targets=1)
    del config["execution"]["run_id"]
    path = write_zoo(tmp_path, config)
    log = tmp_path / "serve.log"
    env = environment(prefect_api)
    command = ("flows.cli", "serve", path, "--cron", "* * * * *")
    with running(*command, env=env, log=log) as process:
        wait_for((tmp_path / "store/runs/zoo-0001/manifest.json").exists, process, log)
        deployment = ask(prefect_api, "deployments/name/rank-zoo/zoo")
        (run,) = wait_for(lambda: completed(prefect_api, deployment["id"], 1), process, log)
    assert run["auto_scheduled"]
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    # Who stops serving stops the schedule.
    assert ask(prefect_api, "deployments/name/rank-zoo/zoo")["paused"]
