"""The memory that transports may take: of the largest node, and of this machine."""

import os
from pathlib import Path
from typing import Final

import ray

from tasks.ray_calls import inside

_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def node_bytes() -> int:
    """Memory that the largest node of the Ray cluster has for work.

    Returns:
        Bytes.
    """
    with inside():
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return max(int(node["Resources"].get("memory", 0)) for node in nodes if node["Alive"])


def machine_bytes() -> int:
    """Memory of this machine, or of the container that this process is in.

    Returns:
        Bytes; a local Ray has somewhat less.
    """
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _LIMIT.read_text().strip() if _LIMIT.exists() else ""
    return min(whole, int(limit)) if limit.isdigit() else whole
