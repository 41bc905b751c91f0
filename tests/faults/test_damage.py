"""What a run does with a store that lost or damaged some of its objects."""

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
