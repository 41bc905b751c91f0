"""What a run does with a store that lost or damaged some of its objects."""

import shutil

import pytest

from tests.kills import tables
from tests.zoo import otce, write_zoo, zoo_config

pytestmark = pytest.mark.nightly


def test_damaged_scores_and_a_lost_manifest_are_mended_by_the_same_command(tmp_path, prefect_api):
    path = write_zoo(tmp_path, zoo_config(models=2, targets=1))
    run = tmp_path / "store/runs/test"
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    wanted = tables(tmp_path)
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
    assert tables(tmp_path) == wanted
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
    kind, two_pairs, tmp_path, prefect_api
):
    """F7: named, set aside, made again by the same command, and the tables are the same."""
    folder, wanted = two_pairs
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
    assert tables(tmp_path) == wanted
