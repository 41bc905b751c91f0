"""What a run does with a store that lost or damaged some of its objects."""

import shutil

import pytest

from tests.zoo import otce, write_zoo, zoo_config

TABLES = ("scores", "summary", "joints", "failures", "risks")
pytestmark = pytest.mark.nightly


def test_damaged_scores_and_a_lost_manifest_are_mended_by_the_same_command(tmp_path, prefect_api):
    path = write_zoo(tmp_path, zoo_config(models=2, targets=1))
    run = tmp_path / "store/runs/test"
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    wanted = {name: (run / f"{name}.parquet").read_bytes() for name in TABLES}
    victim = min((tmp_path / "store/scores").iterdir())
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    (run / "manifest.json").unlink()
    (run / "joints.parquet").unlink()
    code, output = otce("run", path, log=tmp_path / "log2", env=prefect_api)
    assert code == 0, output
    assert "1 pairs computed, 1 reused, 0 failed" in output
    aside = victim.with_name(f"{victim.name}.corrupt")
    assert f"warning: damaged, set aside and computed again: {aside}" in output
    assert victim.read_bytes() == whole
    assert aside.read_bytes() == whole[: len(whole) // 2]
    assert {name: (run / f"{name}.parquet").read_bytes() for name in TABLES} == wanted
    assert (run / "manifest.json").exists()


READ_WITHOUT = {
    "scores": (),
    "samples": ("scores",),
    "counts": ("scores", "samples"),
    "features": ("scores",),
    "runs/test/summary.parquet": (),
    "runs/test/manifest.json": (),
}
"""By kind of object, what else must be lost for a run to read it."""


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", READ_WITHOUT)
def test_a_byte_flipped_in_any_kind_of_object_costs_only_what_it_held(
    kind, whole, tmp_path, prefect_api
):
    """F7: named, set aside, made again by the same command, and the tables are the same."""
    folder, wanted = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    store = tmp_path / "store"
    for lost in READ_WITHOUT[kind]:
        shutil.rmtree(store / lost)
    victim = min(p for p in (store / kind, *store.glob(f"{kind}/**/*")) if p.is_file())
    flipped(victim)
    code, output = otce("run", tmp_path / "zoo.yaml", log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    assert "Traceback" not in output
    if not kind.startswith("runs/"):
        assert f"{victim.name} is damaged and was set aside" in " ".join(output.split())
        assert victim.with_name(f"{victim.name}.corrupt").exists()
    assert {n: (store / f"runs/test/{n}.parquet").read_bytes() for n in TABLES} == wanted


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prefect_api):
    folder = tmp_path_factory.mktemp("whole")
    path = write_zoo(folder, zoo_config(models=2, targets=1))
    code, output = otce("run", path, log=folder / "log", env=prefect_api)
    assert code == 0, output
    run = folder / "store/runs/test"
    return folder, {name: (run / f"{name}.parquet").read_bytes() for name in TABLES}
