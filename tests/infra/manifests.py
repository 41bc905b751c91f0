"""What lies in `infra/`, read; and what of it becomes pods and containers."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml
from prefect.utilities.templating import apply_values

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def loaded(name: str) -> dict:
    [document] = yaml.safe_load_all((INFRA / name).read_text())
    return document


def ray_clusters() -> dict[str, dict]:
    """The spec of a Ray cluster, by file."""
    return {
        "raycluster.yaml": loaded("raycluster.yaml")["spec"],
        "rayjob.yaml": loaded("rayjob.yaml")["spec"]["rayClusterSpec"],
    }


def prefect_job() -> dict:
    """The Kubernetes job that Prefect makes of its template and the template's own defaults."""
    template = json.loads((INFRA / "prefect-raycluster.json").read_text())
    fields = template["variables"]["properties"]
    values = {name: field["default"] for name, field in fields.items() if "default" in field}
    job = apply_values(template["job_configuration"], values)["job_manifest"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    # As its Kubernetes worker does.
    container["args"] = shlex.split(container["args"])
    return job


def pod_templates() -> dict[str, dict]:
    """Every pod that these files start, by file and part of it."""
    pods = {}
    for file, cluster in ray_clusters().items():
        pods[f"{file} head"] = cluster["headGroupSpec"]["template"]
        for group in cluster["workerGroupSpecs"]:
            pods[f"{file} {group['groupName']}"] = group["template"]
    return pods | {"prefect-raycluster.json": prefect_job()["spec"]["template"]}


def containers() -> dict[str, dict]:
    return {
        name: container
        for name, pod in pod_templates().items()
        for container in pod["spec"]["containers"]
    }


def services(*, ours: bool = False) -> dict[str, dict]:
    """Services of the compose file; `ours`: those that run the image of this project."""
    found = loaded("compose.yaml")["services"]
    return {n: s for n, s in found.items() if not ours or s["image"].startswith("otce:")}


def images() -> list[str]:
    """All images that these files name."""
    dockerfile = (INFRA / "Dockerfile").read_text()
    docker = loaded("autoscaler.yaml")["docker"]
    types = loaded("autoscaler.yaml")["available_node_types"].values()
    return [
        *re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE),
        *re.findall(r"-t (\S+)", dockerfile),
        *(service["image"] for service in services().values()),
        *(container["image"] for container in containers().values()),
        docker["image"],
        *(kind["docker"]["worker_image"] for kind in types if "docker" in kind),
    ]


def ray_starts() -> Iterator[tuple[str, list[str]]]:
    """Arguments of every `ray start` in these files, with where it stands."""
    for name, service in services(ours=True).items():
        if service["command"][:2] == ["ray", "start"]:
            yield f"compose.yaml {name}", service["command"][2:]
    launcher = loaded("autoscaler.yaml")
    for kind in ("head", "worker"):
        for command in launcher[f"{kind}_start_ray_commands"]:
            if command.startswith("ray start"):
                yield f"autoscaler.yaml {kind}", shlex.split(command)[2:]
    for file, cluster in ray_clusters().items():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            arguments = [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
            name = group.get("groupName", "head")
            yield f"{file} {name}", ["--head"] * (name == "head") + arguments
    script = prefect_job()["spec"]["template"]["spec"]["containers"][0]["command"][2]
    yield "prefect-raycluster.json", shlex.split(script.partition("&&")[0])[2:]
