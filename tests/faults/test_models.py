"""A model that hangs (F17) or is short of memory (F15) is lost alone: the others are scored."""

from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from flows.rank import rank_zoo
from tests.kills import LONG_S, hang, hung
from tests.zoo import otce, write_zoo, zoo_config

RUN = Path("store/runs/test")

# Each of its models runs out of memory above so many images at once; the file is not hashed.
HUNGRY = """
from pathlib import Path

import torch
from torch import nn


class Hungry(nn.Sequential):
    def __init__(self, name, *layers):
        super().__init__(*layers)
        self.name = name

    def forward(self, images):
        folder = Path(__file__).parent
        with (folder / f"{self.name}.batches").open("a") as file:
            file.write(f"{len(images)}\\n")
        if len(images) > int((folder / f"{self.name}.most").read_text()):
            raise torch.OutOfMemoryError("out of memory, tried to allocate 20.00 GiB")
        return super().forward(images)


def net(name: str, n_classes: int) -> nn.Module:
    return Hungry(
        name, nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, n_classes, 1)
    )
"""


def failures(folder):
    return pq.read_table(folder / RUN / "failures.parquet").to_pylist()


@pytest.mark.nightly
@pytest.mark.timeout(2 * LONG_S)
def test_a_model_that_hangs_is_ended_tried_again_and_given_up_while_the_others_are_scored(
    tmp_path, prefect_api
):
    """F17. The last attempt's actor once stayed, and the next model waited for it in vain."""
    config = zoo_config(models=2, targets=1)
    config["execution"] |= {"workers": 1, "time_limit_s": 30, "attempts": 2}
    path = write_zoo(tmp_path, config)
    hang(path, "net-0")
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api, limit_s=LONG_S)
    assert code == 1, output
    assert "1 pairs computed, 0 reused, 1 failed" in output
    [row] = failures(tmp_path)
    assert (row["source_model"], row["target_dataset"]) == ("net-0", "birch")
    assert (row["error_class"], row["transient"], row["attempts"]) == ("WorkerDiedError", True, 2)
    assert "GetTimeoutError: not done after 30 s" in row["message"]
    workers = hung(tmp_path)
    assert len(set(workers)) == 2
    assert not any(psutil.pid_exists(worker) for worker in workers)


@pytest.fixture(scope="module")
def server(prefect_api):
    """Runs in this process, for every process spends seconds on imports."""
    url = prefect_api["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


def short_of_memory(folder, batch_size, most):
    """Run two models that each hold no more than so many images at once."""
    config = zoo_config(models=2, targets=1, images=9)
    config["execution"] |= {"workers": 1, "batch_size": batch_size}
    path = write_zoo(folder, config)
    (folder / "hungry_nets.py").write_text(HUNGRY)
    for name, images in zip(config["models"], most, strict=True):
        (folder / f"{name}.most").write_text(str(images))
        config["models"][name] |= {
            "reference": "python:hungry_nets:net",
            "arguments": {"name": name, "n_classes": 8},
        }
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return rank_zoo(str(path))


def batches(folder, name):
    return [int(line) for line in (folder / f"{name}.batches").read_text().splitlines()]


def kept_features(folder):
    kept = (folder / "store/features").glob("*/*")
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in kept}


@pytest.mark.nightly
def test_a_device_out_of_memory_halves_the_batch_to_one_image_and_then_loses_that_model_alone(
    server, tmp_path
):
    """F15: at one image a pass the features have the bytes of a run that never asked for more."""
    one = short_of_memory(tmp_path / "one", 1, (9, 9))
    assert (one.computed, one.failures) == (2, [])
    eight = short_of_memory(tmp_path / "eight", 8, (1, 0))
    assert (eight.computed, eight.reused) == (1, 0)
    # Source, then target: 8 and its halves fail, then every image alone.
    assert batches(tmp_path / "eight", "net-0")[-24:] == [8, 4, 2, *[1] * 9] * 2
    kept = kept_features(tmp_path / "eight")
    assert len(kept) == 3
    assert kept.items() <= kept_features(tmp_path / "one").items()
    [pair] = (tmp_path / "eight/store/scores").iterdir()
    assert pair.read_bytes() == (tmp_path / "one/store/scores" / pair.name).read_bytes()
    assert set(batches(tmp_path / "eight", "net-1")) == {1}
    [row] = failures(tmp_path / "eight")
    assert (row["source_model"], row["stage"]) == ("net-1", "extract")
    assert (row["error_class"], row["transient"], row["attempts"]) == ("ModelError", False, 1)
    assert "net-1: no memory for one image of 64x48 pixels (out of memory, tried" in row["message"]
    assert "set preprocessing.size_px or use a larger device" in row["message"]
