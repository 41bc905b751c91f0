"""Refuse nodes of a cluster whose software is not the driver's, before any work.

Another version may give other numbers, or fail in the middle of the night; one table must not mix
two. So one small task looks at every node that can be given work.
"""

import hashlib
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final, TypeAlias

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from otce.errors import ClusterError
from tasks.ray_calls import Ref, inside
from tasks.retry import GaveUpError, Window

_NEEDED: Final = (
    "otce",
    "ray",
    "prefect",
    "torch",
    "numpy",
    "scipy",
    "POT",
    "pyarrow",
    "pillow",
    "pydantic",
    "fsspec",
    "safetensors",
)
_EXTRAS: Final = (
    "s3fs",
    "gcsfs",
    "adlfs",
    "torchvision",
    "transformers",
    "segmentation-models-pytorch",
    "monai",
    "onnx",
    "onnx2torch",
)
"""Compared where both sides have them; needed where this process has imported them."""
_CODE: Final = ("otce", "tasks")
_TOLD: Final = 5
_ATTEMPTS: Final = 2
_TIME_LIMIT_S: Final = 180.0
"""A node may have to start its first worker process, on cold disks."""

Versions: TypeAlias = dict[str, str]
"""By `Python`, name of a distribution, or `code of` a package; what is missing has no entry."""


def workers() -> list[dict[str, Any]]:
    """List the nodes that can be given work.

    Returns:
        Living nodes with CPUs, as Ray describes them; a head without CPUs gets no work.
    """
    with inside():
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"] and node["Resources"].get("CPU")]


def refuse_other_versions(
    nodes: Sequence[Mapping[str, Any]], *, time_limit_s: float = _TIME_LIMIT_S
) -> None:
    """Compare the software of nodes with the driver's.

    Args:
        nodes: as `workers` lists them; those that vanish meanwhile do not count.
        time_limit_s: longest time for a node to answer.

    Raises:
        ClusterError: nodes have other versions, lack a package or do not answer; says which node,
            which package and both versions.
    """
    looker = _looker()
    names = (*_NEEDED, *_EXTRAS)
    here = looker(names, _CODE)
    look = ray.remote(num_cpus=0, max_retries=0)(looker)
    window = Window(max(1, len(nodes)), attempts=_ATTEMPTS, time_limit_s=time_limit_s)
    told = {}
    for index, found in window.run([partial(_submit, look, node, names) for node in nodes]):
        if not isinstance(found, GaveUpError):
            told[index] = differences(here, found, needed=needed())
        elif nodes[index]["NodeID"] in {node["NodeID"] for node in workers()}:
            told[index] = [f"gave no answer: {found}"]
    refused = [f"{_named(nodes[i])}: {', '.join(told[i])}" for i in sorted(told) if told[i]]
    if refused:
        more = f"; and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
        raise ClusterError(
            f"{len(refused)} of {len(nodes)} nodes of the cluster differ from this process: "
            f"{'; '.join(refused[:_TOLD])}{more}; nothing was computed; start all nodes and this "
            "command from one image, or install the same versions there (docs/cluster.md)"
        )


def needed() -> set[str]:
    """Say what every node must have.

    Returns:
        `Python`, code and names of distributions, with the extras that this process uses.
    """
    extras = {name for name in _EXTRAS if name.replace("-", "_") in sys.modules}
    return {"Python", *_NEEDED, *(f"code of {package}" for package in _CODE)} | extras


def differences(here: Versions, there: Versions, *, needed: set[str]) -> list[str]:
    """Compare two sides.

    Args:
        here: what the driver has.
        there: what a node has.
        needed: what a node must have; anything else it may lack.

    Returns:
        One text for each that differs.
    """
    return [
        f"{name} {there.get(name, 'is missing')} there and {version} here"
        for name, version in here.items()
        if there.get(name, None if name in needed else version) != version
    ]


def _looker() -> Callable[[Sequence[str], Sequence[str]], Versions]:
    """Make what nodes run; being nested it travels whole, so a node need not have this module."""

    def look(names: Sequence[str], packages: Sequence[str]) -> Versions:
        found = {"Python": platform.python_version()}
        for name in names:
            try:
                # What follows a plus sign names a build of the same release, as for CPU or CUDA.
                found[name] = metadata.version(name).partition("+")[0]
            except metadata.PackageNotFoundError:
                continue
        for package in packages:
            spec = util.find_spec(package)
            hashed = hashlib.sha256()
            for folder in (spec and spec.submodule_search_locations) or ():
                for path in sorted(Path(folder).rglob("*.py")):
                    hashed.update(path.relative_to(folder).as_posix().encode())
                    hashed.update(path.read_bytes())
                found[f"code of {package}"] = hashed.hexdigest()[:12]
        return found

    return look


def _submit(look: Any, node: Mapping[str, Any], names: Sequence[str]) -> Ref:
    pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    ref: Ref = look.options(scheduling_strategy=pinned).remote(names, _CODE)
    return ref


def _named(node: Mapping[str, Any]) -> str:
    return (
        f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"
    )
