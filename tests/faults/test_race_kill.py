"""A race killed when any of its phases ends is finished by the same command with the same bytes."""

import os
import signal

import pyarrow.parquet as pq
import pytest

from tests.kills import LONG_S, TABLES, assert_nothing_lives, wait_until
from tests.zoo import Command, otce, write_zoo, zoo_config

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(2 * LONG_S)]

RUN = "store/runs/test"
# Rounds of different lengths, whose objects can be told apart by name.
RACE = {
    "top_k": 1,
    "error": 0.4,
    "heats": [3, 2],
    "heat_images": 0.3,
    "heat_survivors": 2,
    "finals": [2, 1, 1],
}
PHASES = {
    "the first heats": "repetitions/*.0-2.parquet",
    "the second heats": "repetitions/*.3-4.parquet",
    "the first finals": "repetitions/*.0-1.parquet",
    "the last finals": "repetitions/*.3-3.parquet",
    "joining": "scores/*.parquet",
    "publishing": "runs/test/scores.parquet",
}


def zoo(folder):
    config = zoo_config(models=4, targets=2, images=24, pixels=150, repetitions=4)
    config["score"] = {"relaxation": "source", "class_weights": "uniform"}
    config["execution"] |= {"workers": 1}
    return write_zoo(folder, config | {"strategy": "race", "race": RACE})


def published(folder):
    return {n: (folder / RUN / f"{n}.parquet").read_bytes() for n in (*TABLES, "race")}


def objects(folder):
    """Bytes of all that is named by what it holds."""
    found = [
        path for kind in ("repetitions", "scores") for path in (folder / "store").glob(f"{kind}/*")
    ]
    return {path.name: path.read_bytes() for path in found if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, prefect_api):
    folder = tmp_path_factory.mktemp("race")
    code, output = otce("run", zoo(folder), log=folder / "log", env=prefect_api, limit_s=LONG_S)
    assert code == 0, output
    race = pq.read_table(folder / RUN / "race.parquet").to_pylist()
    assert {row["phase"] for row in race} == {"heats", "finals"}
    assert {row["decision"] for row in race} >= {"leaves", "finished"}
    return folder


def present(folder, phase):
    return len([*(folder / "store").glob(PHASES[phase])])


@pytest.mark.parametrize("phase", PHASES)
def test_a_race_killed_at_the_end_of(phase, uninterrupted, tmp_path, prefect_api):
    wanted = present(uninterrupted, phase)
    assert wanted > 0
    path = zoo(tmp_path)
    killed = Command("run", path, log=tmp_path / "log", env=prefect_api)
    wait_until(lambda: present(tmp_path, phase) == wanted, killed.output, LONG_S)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    assert_nothing_lives(killed)
    before = objects(tmp_path)
    code, output = otce("run", path, log=tmp_path / "log2", env=prefect_api, limit_s=LONG_S)
    assert code == 0, output
    assert ", 0 failed" in output
    assert published(tmp_path) == published(uninterrupted)
    assert objects(tmp_path) == objects(uninterrupted)
    assert before.items() <= objects(uninterrupted).items()
