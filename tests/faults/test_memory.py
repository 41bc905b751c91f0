"""Couplings that no machine here holds are refused with their size (F16), not killed in a loop."""

import os

import pytest
from rich.console import Console

from flows.validate import validate
from otce.config_file import load_config
from otce.errors import ClusterError
from otce.footprint import footprint_bytes, refuse_too_large
from tests.zoo import otce, write_zoo, zoo_config

N = 100_000
# Six float64 arrays of N x N.
NEEDED = "one transport of 100,000 x 100,000 pixels takes 457,764 MiB with solver: pot; "


def zoo(folder, **score):
    config = zoo_config(models=1, targets=1, images=60, pixels=N, repetitions=2)
    return write_zoo(folder, config | {"score": config["score"] | score})


def problems(path):
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        return validate(load_config(str(path)), Console(file=nowhere))


def test_validate_refuses_a_cost_matrix_larger_than_the_machine_and_tells_both_sizes(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    [problem] = problems(zoo(tmp_path, solver="pot"))
    assert problem.startswith(f"ClusterError: {NEEDED}this machine has ")
    assert problem.endswith("lower sampling.pixels, use solver: auto, or add memory")
    # Our own solver holds no such matrix, and a cluster is asked when it is joined.
    assert problems(zoo(tmp_path)) == []
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert problems(zoo(tmp_path, solver="pot")) == []


def test_the_largest_coupling_of_all_metrics_and_pairs_decides(tmp_path):
    config = load_config(str(zoo(tmp_path, solver="pot", relaxation="source")))
    assert footprint_bytes(config, N, N) == 64 << 20
    more = config.model_copy(update={"metrics": ("otce", "jc_otce")})
    assert footprint_bytes(more, N, N) == 64 << 20
    balanced = config.score.model_copy(update={"relaxation": "none"})
    both = config.model_copy(update={"score": balanced, "metrics": ("otce", "otce_robust")})
    assert footprint_bytes(both, 1000, 2000) == 6 * 8 * 1000 * 2000
    refuse_too_large(both, [(1000, 2000), (10, 10)], 96_000_000, "this machine")
    with pytest.raises(ClusterError, match=r"1,000 x 2,000 pixels takes 92 MiB .* has 92 MiB"):
        refuse_too_large(both, [(10, 10), (1000, 2000)], 95_999_999, "this machine")


@pytest.mark.nightly
def test_a_run_refuses_it_before_any_model_runs(tmp_path, prefect_api):
    path = zoo(tmp_path, solver="pot")
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 3, output
    assert f"ClusterError: {NEEDED}the largest node has " in output
    assert "Traceback" not in output
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["counts", "runs", "samples"]
