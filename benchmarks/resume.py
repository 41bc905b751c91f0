"""Seconds of a run that finds 10 000 finished pairs in a bucket, and of one that lacks one of them.

python benchmarks/resume.py [--models 100] [--targets 100] [--images 100]

The pairs are stub tables under the names that the product gives them, with as many classes, images
and parts as real ones have. The bucket is a moto server, a process of its own on this machine.
"""

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import safetensors.torch
import torch
import yaml

from flows.sources import pair_names, source_side
from otce.config import RunConfig
from otce.config_file import load_config
from otce.explain import BOUNDARIES, FREQUENCIES
from otce.identity import PairNames
from otce.pair_table import pair_columns, pair_rows, whole_pair
from otce.readable import open_readable
from otce.storage.store import Store

CLASSES = 8
AWS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
NETS = """
from torch import nn


def net(n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, n_classes, 1))
"""


@contextmanager
def bucket() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        while True:
            request = urllib.request.Request(f"{endpoint}/otce", method="PUT")  # noqa: S310
            with suppress(OSError):
                urllib.request.urlopen(request, timeout=2).close()  # noqa: S310
                break
            time.sleep(0.1)
        yield endpoint
    finally:
        server.kill()
        server.wait()


def zoo(folder: Path, endpoint: str, models: int, targets: int, images: int) -> Path:
    """Write a configuration of small nets and of targets that are drawn, none of them alike."""
    (folder / "stub_nets.py").write_text(NETS)
    for index in range(models):
        torch.manual_seed(index)
        state = {"0.weight": torch.randn(6, 3, 3, 3), "2.weight": torch.randn(CLASSES, 6, 1, 1)}
        (folder / f"{index}.safetensors").write_bytes(safetensors.torch.save(state))
    model = {"reference": "python:stub_nets:net", "arguments": {"n_classes": CLASSES}}
    drawn = {"count": images, "size_px": [48, 64]}
    config = {
        "datasets": {"alder": {"layout": "scenes:alder", **drawn}}
        | {
            f"t{index:03d}": {"layout": "scenes:birch", "first": index * images, **drawn}
            for index in range(targets)
        },
        "models": {
            f"m{index:04d}": model
            | {"trusted": True, "weights": f"{index}.safetensors", "source": "alder"}
            for index in range(models)
        },
        "targets": [f"t{index:03d}" for index in range(targets)],
        "sampling": {"pixels": 1000, "repetitions": 10},
        "execution": {
            "store": "s3://otce/store",
            "run_id": "resume",
            "storage_options": {"s3": {"endpoint_url": endpoint}},
        },
    }
    path = folder / "zoo.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def stub_row(random: np.random.Generator, images: int, repetition: int) -> dict[str, Any]:
    """What one repetition might have given."""
    joint = random.dirichlet(np.ones(CLASSES * CLASSES))
    otce = -float(random.uniform(0.3, 1.2))
    items, pulls = list(range(images)), random.normal(0, 1e-3, (2, images))
    keys = {
        "class": CLASSES,
        "image": images,
        "boundary": len(BOUNDARIES),
        "frequency": len(FREQUENCIES),
    }
    return {
        "value": otce,
        "otce": otce,
        "conditional_entropy": -otce,
        "target_entropy": 1.7,
        "normalized": 1 + otce / 1.7,
        "transport_cost": 0.5,
        "marginal_error": 5e-4,
        "n_iter": 100 + repetition,
        "converged": True,
        "degenerate": "none",
        "n_source_px": 1000,
        "n_target_px": 1000,
        "n_source_classes": CLASSES,
        "n_target_classes": CLASSES,
        "feature_dim": 6,
        "source_classes": list(range(CLASSES)),
        "target_classes": list(range(CLASSES)),
        "joint": joint.tolist(),
        "target_items": items,
        "target_influence": (pulls[0] - pulls[0].mean()).tolist(),
        "source_items": items,
        "source_influence": (pulls[1] - pulls[1].mean()).tolist(),
        "curve_epsilon": [0.03, 0.1] if repetition == 0 else [],
        "curve_otce": [otce, otce] if repetition == 0 else [],
        "curve_failure": None,
        "parts": [
            {"cut": cut, "key": key, "share": 1 / n, "risk": -otce / n}
            for cut, n in keys.items()
            for key in range(n)
        ],
    }


def finish(config: RunConfig, store: Store, images: int) -> list[str]:
    """Put the table of every pair, as a run that scored them would have."""
    data = {id_: open_readable(id_, one) for id_, one in config.datasets.items()}
    known = {id_: (one.digest, one.dataset.classes) for id_, one in data.items()}
    sides = {model: source_side(model, config, {}, known) for model in config.models}
    random = np.random.default_rng(0)

    def put(pair: tuple[str, str, dict[int, Any]]) -> str:
        model, target, rows = pair
        digest, classes = known[target]
        namer = PairNames(config, model, sides[model])
        name = pair_names(namer, target, digest, classes)["otce"]
        columns = pair_columns(
            config,
            "otce",
            fingerprint=name,
            model_id=model,
            side=sides[model],
            target_id=target,
            target_digest=digest,
        )
        store.put_table(f"scores/{name}.parquet", whole_pair(name, pair_rows(columns, rows)))
        return name

    repetitions = range(config.sampling.repetitions)
    stubs = [{k: stub_row(random, images, k) for k in repetitions} for _ in range(20)]
    todo = ((*pair, stubs[n % len(stubs)]) for n, pair in enumerate(config.pairs))
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(put, todo))


def seconds(config: Path, expected: str) -> tuple[float, float]:
    """Wall and CPU seconds of the command, its Prefect server included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_s = time.perf_counter()
    command = [sys.executable, "-m", "flows.cli", "run", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    took_s = time.perf_counter() - started_s
    if done.returncode or expected not in done.stdout:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took_s, now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime


def main(*, models: int = 100, targets: int = 100, images: int = 100) -> None:
    """Measure and print.

    Args:
        models: source models.
        targets: target data sets.
        images: images of each.
    """
    os.environ.update(AWS)
    with tempfile.TemporaryDirectory() as folder, bucket() as endpoint:
        path = zoo(Path(folder), endpoint, models, targets, images)
        config = load_config(str(path))
        store = Store(config.execution.store, config.execution.storage_options)
        n_pairs = len(finish(config, store, images))
        idle = f"nothing to compute, {n_pairs} reused"
        print(f"{models} models, {targets} targets, {n_pairs} pairs stored")
        for name in ("first run over them", "the same again", "once more"):
            wall_s, cpu_s = seconds(path, idle)
            load = os.getloadavg()[0]
            print(f"{name}: {wall_s:.1f} s, CPU {cpu_s:.1f} s, load average {load:.1f}")


if __name__ == "__main__":
    cyclopts.run(main)
