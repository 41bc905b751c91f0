"""What is deployed names what exists."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_image_copies_every_package_and_does_not_run_as_root():
    lines = (ROOT / "infra/Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    assert {"otce", "tasks", "flows", "pyproject.toml", "constraints.txt", "README.md"} <= copied
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] != "root"
