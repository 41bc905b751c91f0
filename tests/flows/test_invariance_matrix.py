"""Workers x shards x order x a killed actor: one table, byte for byte (reliability.md, 6)."""

import threading
from itertools import product
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from flows.rank import rank_zoo
from tests.kills import tables
from tests.zoo import write_zoo, zoo_config

pytestmark = pytest.mark.nightly

IMAGES = 14
SHARDS = {1: 14, 3: 5, 7: 2}
"""Images of a shard by the number of shards that a data set is cut into."""


@pytest.fixture(scope="module", autouse=True)
def server(prefect_api):
    """Runs in this process, for every process spends seconds on imports."""
    url = prefect_api["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


def ran(folder, workers, shards, order="in order"):
    config = zoo_config(models=2, targets=2, images=IMAGES, repetitions=2)
    config["execution"] |= {"workers": workers, "items_per_shard": SHARDS[shards]}
    if order == "backwards":
        config["models"] = dict(reversed(config["models"].items()))
        config["datasets"] = dict(reversed(config["datasets"].items()))
        config["targets"].reverse()
    outcome = rank_zoo(str(write_zoo(folder, config)))
    assert (outcome.computed, outcome.failures) == (4, [])
    kept = sorted((folder / "store/features").glob("*/*.safetensors"))
    return tables(folder), [(path.parent.name, path.name, path.read_bytes()) for path in kept]


@pytest.fixture(scope="module")
def plain(server, tmp_path_factory):
    return ran(tmp_path_factory.mktemp("plain"), 2, 1)


class Killer(threading.Thread):
    """Kills the first feature actor of this process's Ray that is seen at work."""

    def __init__(self):
        super().__init__(daemon=True)
        self.killed = []
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.002) and not self.killed:
            for process in psutil.Process().children(recursive=True):
                try:
                    if "FeatureWorker.extract" in " ".join(process.cmdline()):
                        process.kill()
                        self.killed.append(process.pid)
                        return
                except psutil.Error:
                    continue


@pytest.mark.parametrize(
    ("workers", "shards", "order", "kills"),
    list(product((1, 2, 4), SHARDS, ("in order", "backwards"), (0, 1))),
)
def test_bytes_depend_on_none_of(workers, shards, order, kills, plain, tmp_path: Path):
    killer = Killer()
    if kills:
        killer.start()
    try:
        found = ran(tmp_path, workers, shards, order)
    finally:
        killer.ended.set()
    assert len(killer.killed) == kills
    assert found == plain
    assert len(found[1]) == 2 * 2
