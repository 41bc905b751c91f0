"""What the manifests promise: one set of versions, no root, tokens, limits, and few open doors."""

import re
from pathlib import Path

import pytest
import yaml

from tests.infra.manifests import (
    INFRA,
    PINS,
    ROOT,
    VERSION,
    containers,
    images,
    loaded,
    pod_templates,
    prefect_job,
    ray_clusters,
    ray_starts,
    services,
)

OURS = {f"otce:{VERSION}", f"otce:{VERSION}-cuda"}
EVERYWHERE, LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104
TOKEN = {
    "name": "RAY_AUTH_TOKEN",
    "valueFrom": {"secretKeyRef": {"name": "otce-ray", "key": "auth_token"}},
}
# The operator has to reach it there: see test_only_the_operator_reaches_the_dashboard_of_a_job.
NOT_ON_THE_LOOPBACK = "rayjob.yaml head"


def files():
    return sorted(path for path in INFRA.iterdir() if path.is_file())


def test_images_are_ours_at_this_version_or_named_without_a_host():
    found = images()
    assert {image for image in found if image.startswith("otce")} == OURS
    for image in found:
        assert not re.match(r"[^/]*[.:][^/]*/", image), f"{image} names a registry's host"
        assert not image.endswith(":latest")
        assert ":" in image, f"{image} says no version"


def test_versions_are_those_of_the_pins():
    for cluster in ray_clusters().values():
        assert cluster["rayVersion"] == PINS["ray"]
    dockerfile = (INFRA / "Dockerfile").read_text()
    assert "-c constraints.txt" in dockerfile
    [python] = re.findall(r"^FROM python:(\d+\.\d+)-slim$", dockerfile, re.MULTILINE)
    assert f"PYTHON ?= python{python}\n" in (ROOT / "Makefile").read_text()
    for path in files():
        for name, version in re.findall(r"\b([a-z][a-z0-9_-]+)==([0-9][\w.]*)", path.read_text()):
            assert PINS.get(name) == version, path.name


def test_nobody_in_a_pod_is_root():
    for name, pod in pod_templates().items():
        user = pod["spec"]["securityContext"]
        assert user["runAsNonRoot"], name
        assert user["runAsUser"] == 1000, name
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_nobody_in_our_image_is_root():
    lines = (INFRA / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000:1000"]
    assert any("--uid 1000" in line for line in lines)
    for name, service in services(ours=True).items():
        assert service["user"] == "1000:1000", name
        assert service["cap_drop"] == ["ALL"], name
    assert "--user=1000:1000" in loaded("autoscaler.yaml")["docker"]["run_options"]


def test_ray_asks_everybody_for_the_token_of_a_secret():
    for name, container in containers().items():
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"], name
        assert TOKEN in container["env"], name
    for file, cluster in ray_clusters().items():
        assert cluster["authOptions"] == {"mode": "token", "secretName": "otce-ray"}, file
    compose = loaded("compose.yaml")
    for name, service in services(ours=True).items():
        if "ray" in name:
            assert service["environment"]["RAY_AUTH_MODE"] == "token", name
            [mounted] = service["secrets"]
            assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == f"/run/secrets/{mounted}"
            assert mounted == "ray_token", name
    assert compose["secrets"]["ray_token"] == {"environment": "RAY_AUTH_TOKEN"}
    launcher = loaded("autoscaler.yaml")
    assert "--env=RAY_AUTH_MODE=token" in launcher["docker"]["run_options"]
    assert "/home/otce/.ray/auth_token" in launcher["file_mounts"]
    assert "RAY_AUTH_MODE=token" in (INFRA / "Dockerfile").read_text()


def test_no_secret_stands_in_a_file():
    secret = re.compile(r"(PASSWORD|SECRET|TOKEN|AUTH_STRING|KEY_ID|KEY)$")
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", value), f"{name} {variable}"
    for container in containers().values():
        for variable in container["env"]:
            assert not (secret.search(variable["name"]) and "value" in variable)


@pytest.mark.parametrize(("place", "arguments"), ray_starts(), ids=[p for p, _ in ray_starts()])
def test_dashboards_stay_on_the_loopback_and_heads_do_no_work(place, arguments):
    hosts = [one for one in arguments if one.startswith("--dashboard-host")]
    if "--head" in arguments:
        host = EVERYWHERE if place == NOT_ON_THE_LOOPBACK else LOOPBACK
        assert hosts == [f"--dashboard-host={host}"]
        assert "--num-cpus=0" in arguments
    else:
        assert hosts == []


def selects(policy, labels):
    wanted = policy["spec"]["podSelector"]["matchLabels"]
    return wanted.items() <= labels.items()


def test_the_network_policy_selects_every_pod_of_ours():
    policy = loaded("networkpolicy.yaml")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for name, pod in pod_templates().items():
        assert selects(policy, pod["metadata"]["labels"]), name


def test_only_the_operator_reaches_the_dashboard_of_a_job():
    among_us, operator = loaded("networkpolicy.yaml")["spec"]["ingress"]
    ours = loaded("networkpolicy.yaml")["spec"]["podSelector"]
    assert among_us == {"from": [{"podSelector": ours}]}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    [peer] = operator["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}


def test_ports_of_the_small_cluster_are_open_to_this_machine_only():
    for name, service in services().items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    compose = loaded("compose.yaml")
    assert compose["networks"]["database"] == {"internal": True}
    reached = [n for n, s in services().items() if "database" in s.get("networks", ())]
    assert reached == ["postgres", "prefect"]


def test_requests_are_limits():
    """Memory above its request is what a busy node takes back by killing."""
    for name, container in containers().items():
        resources = container["resources"]
        assert resources["requests"] == resources["limits"], name
        assert {"cpu", "memory", "ephemeral-storage"} <= resources["limits"].keys(), name
    for file, cluster in ray_clusters().items():
        resources = cluster["autoscalerOptions"]["resources"]
        assert resources["requests"] == resources["limits"], file
    for name, service in services().items():
        resources = service["deploy"]["resources"]
        assert resources["reservations"]["memory"] == resources["limits"]["memory"], name
        assert "cpus" in resources["limits"], name


@pytest.mark.parametrize("file", ["raycluster.yaml", "rayjob.yaml"])
def test_gpus_are_rented_only_when_asked_for(file):
    cluster = ray_clusters()[file]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert (groups["gpu"]["replicas"], groups["gpu"]["minReplicas"]) == (0, 0)
    assert groups["gpu"]["maxReplicas"] > 0
    assert cluster["enableInTreeAutoscaling"]
    for name, group in groups.items():
        [container] = group["template"]["spec"]["containers"]
        n_gpus = int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
        assert (n_gpus > 0) == (name == "gpu") == container["image"].endswith("-cuda")
    types = loaded("autoscaler.yaml")["available_node_types"]
    assert types["gpu"]["min_workers"] == types["cpu"]["min_workers"] == 0


def test_jobs_end_and_go():
    spec = loaded("rayjob.yaml")["spec"]
    assert spec["shutdownAfterJobFinishes"]
    job = prefect_job()["spec"]
    for limits in (spec, job):
        assert 0 < limits["activeDeadlineSeconds"] <= 24 * 3600
        assert 0 < limits["ttlSecondsAfterFinished"] <= 24 * 3600
    assert spec["preRunningDeadlineSeconds"] < spec["activeDeadlineSeconds"]
    for cluster in ray_clusters().values():
        assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] <= 600


def test_both_ray_clusters_are_one_but_for_the_dashboard():
    standing, of_job = ray_clusters().values()
    assert of_job["headGroupSpec"]["rayStartParams"].pop("dashboard-host") == EVERYWHERE
    assert standing["headGroupSpec"]["rayStartParams"].pop("dashboard-host") == LOOPBACK
    assert standing == of_job


def test_prefects_pods_join_the_standing_cluster():
    [container] = prefect_job()["spec"]["template"]["spec"]["containers"]
    name = loaded("raycluster.yaml")["metadata"]["name"]
    address = {"name": "RAY_ADDRESS", "value": f"{name}-head-svc:6379"}
    assert address in container["env"]
    assert container["args"] == ["prefect", "flow-run", "execute"]


def test_the_guide_names_every_file_and_every_variable():
    guide = (ROOT / "docs/cluster.md").read_text()
    for path in files():
        assert f"infra/{path.name}" in guide
    for variable in re.findall(r"\$\{([A-Z0-9_]+):\?", (INFRA / "compose.yaml").read_text()):
        assert variable in guide
    for name in re.findall(r"(?:name|secretName): (otce-\w+)", (INFRA / "rayjob.yaml").read_text()):
        assert name in guide, "a secret or configuration that nobody is told to make"
    assert yaml.safe_load(Path(INFRA / "rayjob.yaml").read_text())["metadata"]["generateName"]
