"""What is deployed names what exists."""

import importlib.util
import inspect
from pathlib import Path

import yaml
from prefect import Flow

ROOT = Path(__file__).parents[2]


def test_the_deployment_starts_a_flow_with_parameters_that_it_takes():
    described = yaml.safe_load((ROOT / "infra/prefect.yaml").read_text())
    for deployment in described["deployments"]:
        path, _, name = deployment["entrypoint"].partition(":")
        spec = importlib.util.spec_from_file_location("entrypoint", ROOT / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        flow = getattr(module, name)
        assert isinstance(flow, Flow)
        inspect.signature(flow.fn).bind(**deployment["parameters"])
        assert (ROOT / deployment["parameters"]["config_uri"]).exists()


def test_the_image_copies_every_package_and_does_not_run_as_root():
    lines = (ROOT / "infra/Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    assert {"otce", "tasks", "flows", "pyproject.toml", "constraints.txt", "README.md"} <= copied
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] != "root"
