"""Every manifest passes the schema of what reads it, and a mistake in it would be found."""

import contextlib
import copy
import io
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prefect.server.schemas.actions import WorkPoolCreate
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from flows.cli import app
from tests.infra.manifests import (
    INFRA,
    loaded,
    pod_templates,
    prefect_job,
    ray_clusters,
    ray_starts,
    services,
)

BIN = Path(sys.executable).parent
KUBERNETES = metadata.version("kubernetes-validate")


def linted(text):
    return subprocess.run(
        [BIN / "hadolint", "-"], input=text, capture_output=True, text=True, check=False
    )


def test_the_dockerfile_passes_its_linter():
    text = (INFRA / "Dockerfile").read_text()
    done = linted(text)
    assert done.returncode == 0, done.stdout
    done = linted(text.replace("USER 1000:1000", "USER root"))
    assert done.returncode == 1
    assert "Last USER should not be root" in done.stdout


def test_the_compose_file_passes_the_schema_of_compose(tmp_path):
    def checked(path):
        return subprocess.run(
            [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path],
            capture_output=True,
            text=True,
            check=False,
        )

    done = checked(INFRA / "compose.yaml")
    assert done.returncode == 0, done.stdout
    broken = loaded("compose.yaml")
    broken["services"]["prefect"]["comand"] = broken["services"]["prefect"].pop("command")
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(broken))
    done = checked(tmp_path / "compose.yaml")
    assert done.returncode == 1
    assert "'comand' was unexpected" in done.stdout


def valid(document):
    """What Kubernetes would refuse of a document, in strict mode."""
    kubernetes_validate.validate(copy.deepcopy(document), KUBERNETES, strict=True)


def test_the_network_policy_passes_the_schema_of_kubernetes():
    policy = loaded("networkpolicy.yaml")
    valid(policy)
    policy["spec"]["podSelectors"] = policy["spec"].pop("podSelector")
    with pytest.raises(kubernetes_validate.ValidationError, match="podSelector"):
        valid(policy)


@pytest.mark.parametrize("name", pod_templates())
def test_every_pod_passes_the_schema_of_kubernetes(name):
    template = pod_templates()[name]
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
    pod["metadata"] = template["metadata"] | {"name": "pod"}
    valid(pod)
    pod["spec"]["containers"][0]["imagee"] = "otce"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagee"):
        valid(pod)


def test_the_job_that_prefect_makes_passes_the_schema_of_kubernetes():
    valid(prefect_job())


def test_prefect_takes_the_job_template():
    template = json.loads((INFRA / "prefect-raycluster.json").read_text())
    WorkPoolCreate(name="otce-raycluster", type="kubernetes", base_job_template=template)
    # Prefect's Kubernetes worker refuses a first container of any other name.
    assert prefect_job()["spec"]["template"]["spec"]["containers"][0]["name"] == "prefect-job"
    del template["variables"]["properties"]["ray_address"]
    with pytest.raises(ValueError, match="ray_address"):
        WorkPoolCreate(name="otce-raycluster", type="kubernetes", base_job_template=template)


@pytest.mark.parametrize("file", ["raycluster.yaml", "rayjob.yaml"])
def test_ray_resources_have_the_fields_that_kuberay_documents(file):
    schema = yaml.safe_load((Path(__file__).parent / "kuberay.yaml").read_text())
    check = jsonschema.Draft202012Validator(schema)
    document = loaded(file)
    assert [error.message for error in check.iter_errors(document)] == []
    cluster = document["spec"].get("rayClusterSpec", document["spec"])
    del cluster["workerGroupSpecs"][0]["maxReplicas"]
    cluster["authOption"] = cluster.pop("authOptions")
    document["spec"]["activeDeadlineSecond"] = 1
    found = "\n".join(error.message for error in check.iter_errors(document))
    for mistake in ("maxReplicas", "authOption", "activeDeadlineSecond"):
        assert mistake in found


def test_the_launcher_file_passes_rays_own_schema_and_checks():
    """With Ray's defaults filled in, as `ray up` does before it starts a machine."""
    config = prepare_config(loaded("autoscaler.yaml"))
    validate_config(config)
    assert config["setup_commands"] == [], "Ray would install a version of its own"
    with pytest.raises(Exception, match="max_worker"):
        validate_config(config | {"max_worker": config.pop("max_workers")})


@pytest.mark.parametrize(("place", "arguments"), ray_starts(), ids=[p for p, _ in ray_starts()])
def test_ray_knows_every_option_that_a_node_is_started_with(place, arguments):
    parsed = start.make_context("start", list(arguments)).params
    assert parsed["head"] == ("head" in place)


def test_a_wrong_option_of_a_node_is_found():
    with contextlib.redirect_stderr(io.StringIO()), pytest.raises(Exception, match="num-cpu"):
        start.make_context("start", ["--num-cpu=0"])


def test_the_command_of_the_job_is_one_of_ours():
    name, *arguments = loaded("rayjob.yaml")["spec"]["entrypoint"].split()
    assert name == "otce"
    command, bound, _ = app.parse_args(arguments)
    assert command.__name__ == "run"
    [file] = bound.args
    mounts = {
        mount["mountPath"]
        for mount in ray_clusters()["rayjob.yaml"]["headGroupSpec"]["template"]["spec"][
            "containers"
        ][0]["volumeMounts"]
    }
    assert str(Path(file).parent) in mounts


def test_what_services_wait_for_exists_and_tells_that_it_lives():
    found = services()
    for name, service in found.items():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in found[other], name
