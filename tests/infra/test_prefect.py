"""The deployments of infra/prefect.yaml, on a real Prefect server."""

import inspect
import json
import re

import pytest
import yaml
from prefect import Flow
from prefect.utilities.importtools import import_object
from prefect.utilities.schema_tools import is_valid_schema, validate

from tests.schedule import ROOT, ask, create_pools, environment, prefect

CHOSEN = {
    "OTCE_CONFIG": "s3://zoo/zoo.yaml",
    "OTCE_STORE": "s3://results/otce",
    "OTCE_IMAGE": "registry.example/otce:1",
}


def described():
    return yaml.safe_load((ROOT / "infra/prefect.yaml").read_text())


def template():
    return json.loads((ROOT / "infra/prefect-kubernetes.json").read_text())


@pytest.fixture(scope="module")
def deployed(prefect_api):
    """What the server knows of both deployments after `prefect deploy --all`."""
    env = environment(prefect_api, **CHOSEN)
    create_pools(env)
    prefect("deploy", "--all", "--prefect-file", "infra/prefect.yaml", env=env)
    names = [deployment["name"] for deployment in described()["deployments"]]
    return {name: ask(prefect_api, f"deployments/name/rank-zoo/{name}") for name in names}


def test_the_entrypoints_are_flows_that_take_the_parameters():
    for deployment in described()["deployments"]:
        flow = import_object(deployment["entrypoint"])
        assert isinstance(flow, Flow)
        inspect.signature(flow.fn).bind(**deployment["parameters"])


def test_both_run_one_at_a_time_every_night_and_are_off_until_told(deployed):
    assert set(deployed) == {"nightly", "nightly-kubernetes"}
    for deployment in deployed.values():
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        (schedule,) = deployment["schedules"]
        assert (schedule["schedule"]["cron"], schedule["active"]) == ("0 2 * * *", False)


def test_what_differs_between_places_comes_from_the_environment(deployed):
    for deployment in deployed.values():
        parameters = deployment["parameters"]
        assert parameters["config_uri"] == CHOSEN["OTCE_CONFIG"]
        assert parameters["store"] == CHOSEN["OTCE_STORE"]
        assert parameters["overrides"] == ["execution.run_id=nightly-{n}"]
        assert (parameters["only"], parameters["since"]) == (None, "previous")
    assert deployed["nightly"]["work_pool_name"] == "otce"
    kubernetes = deployed["nightly-kubernetes"]
    assert kubernetes["work_pool_name"] == "otce-kubernetes"
    assert kubernetes["job_variables"]["image"] == CHOSEN["OTCE_IMAGE"]


def test_the_pool_takes_the_job_variables_and_knows_every_one_it_uses(deployed, prefect_api):
    pool = ask(prefect_api, "work_pools/otce-kubernetes")["base_job_template"]
    assert pool["job_configuration"] == template()["job_configuration"]
    variables = template()["variables"]
    is_valid_schema(variables)  # raises
    given = deployed["nightly-kubernetes"]["job_variables"]
    assert given.keys() <= variables["properties"].keys()
    validate(given, variables, raise_on_error=True)
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template()["job_configuration"])))
    assert used == variables["properties"].keys()


def test_jobs_are_bounded_unprivileged_and_take_keys_from_a_secret():
    spec = template()["job_configuration"]["job_manifest"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["activeDeadlineSeconds"] == "{{ time_limit_s }}"
    assert spec["backoffLimit"] == 0
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["envFrom"] == [{"secretRef": {"name": "{{ secret_name }}"}}]
    assert set(container["resources"]) == {"limits", "requests"}
    # What is written in the file stands in the server's database: no key of a bucket.
    text = (ROOT / "infra/prefect.yaml").read_text() + json.dumps(template())
    assert not re.search(r"(SECRET|ACCESS)_(ACCESS_)?KEY|prefect\.blocks\.secret", text)
