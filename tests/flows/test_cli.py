"""Exit codes, frozen options, and a command that starts light."""

import json
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from flows.cli import guarded
from otce.errors import ClusterError, ConfigError, DataError, ModelError, StoreError
from otce.storage.files import read_bytes
from tests.conftest import BUCKETS
from tests.zoo import otce, write_zoo, zoo_config

HEAVY = {"torch", "ot", "ray", "prefect", "matplotlib", "pyarrow", "torchvision"}


def loaded_by(statement):
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_help_of_the_command_loads_nothing_heavy():
    assert not loaded_by("import flows.cli") & HEAVY


def test_the_library_loads_no_orchestration_and_no_plots():
    everything = (
        "import otce, otce.scores, otce.storage.store, otce.zoo, otce.datasets, otce.config_file"
    )
    assert not loaded_by(everything) & {"ray", "prefect", "matplotlib", "torchvision"}
    assert not loaded_by("import otce") & HEAVY


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (ConfigError("x"), 2),
        (DataError("x"), 2),
        (ModelError("x"), 2),
        (StoreError("x"), 3),
        (ClusterError("x"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_ending_has_its_exit_code(error, code, capsys):
    def command():
        if error is not None:
            raise error

    assert guarded(command) == code
    assert ("x" in capsys.readouterr().err) == isinstance(
        error, ConfigError | DataError | ModelError | StoreError | ClusterError
    )


def test_options_are_frozen_because_the_configuration_is_where_knobs_belong(tmp_path):
    for command, options in {
        "run": {"--set", "--config", "--only", "--since"},
        "validate": {"--set", "--config"},
        "measure": {"--set", "--config"},
        "signature": {"--set", "--config", "--model", "--file"},
        "map": {"--set", "--config", "--model", "--target", "--images", "--out", "--patches"},
        "ls": {"--store"},
        "report": {"--store", "--run-id", "--truth", "--baselines"},
        "status": {"--store", "--run-id", "--json"},
        "prune": {"--store", "--keep-runs", "--grace-days", "--delete"},
        "serve": {"--config", "--cron", "--timezone", "--set", "--only", "--since"},
    }.items():
        code, output = otce(command, "--help", log=tmp_path / "log")
        assert code == 0
        assert set(re.findall(r"--[a-z-]+", output)) == options


def test_wrong_usage_is_exit_code_2(tmp_path):
    assert otce("run", log=tmp_path / "log")[0] == 2
    assert otce("rnu", log=tmp_path / "log")[0] == 2


def test_a_wrong_configuration_is_told_whole_and_starts_nothing(tmp_path):
    config = zoo_config()
    config["models"]["net-0"]["source"] = "adler"
    config["sampling"]["pixel"] = 3
    path = write_zoo(tmp_path, config)
    code, output = otce("run", path, "--set", "score.epsilon=-1", log=tmp_path / "log")
    assert code == 2
    assert "has 3 problems" in output
    assert "did you mean alder" in output
    assert "unknown key; did you mean pixels" in output
    assert "--set score.epsilon=-1" in output
    assert "starting Ray" not in output


def test_an_unwritable_store_is_told_before_any_model_runs(tmp_path, prefect_api):
    path = write_zoo(tmp_path, zoo_config())
    (tmp_path / "store").write_text("a file where a folder should be")
    code, output = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert code == 3
    assert "StoreError: cannot write" in output
    assert "starting Ray" not in output


def test_a_prefect_server_that_does_not_answer_is_named(tmp_path):
    env = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    code, output = otce("run", write_zoo(tmp_path, zoo_config()), log=tmp_path / "log", env=env)
    assert code == 3
    assert "no Prefect server answers at http://127.0.0.1:1/api" in output


def test_a_run_that_keeps_its_tables_in_memory_prints_the_ranking(tmp_path, prefect_api):
    """Workers put score tables into memory of their own: the run ended with a StoreError."""
    path = write_zoo(tmp_path, zoo_config(models=2, targets=1))
    place = ("--set", "execution.store=memory://run")
    code, output = otce("run", path, *place, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    assert "2 pairs computed, 0 reused, 0 failed" in output


@pytest.mark.parametrize("store_place", BUCKETS, indirect=True)
def test_a_run_to_a_bucket_leaves_the_same_tables_there(
    tmp_path, store_uri, store_options, prefect_api
):
    """Real HTTP and signatures; the credentials come from the SDK's own variables."""
    path = write_zoo(tmp_path, zoo_config(models=2, targets=1))
    options = [
        f"execution.store={store_uri}",
        f"execution.storage_options={json.dumps(store_options)}",
    ]
    arguments = [word for option in options for word in ("--set", option)]
    code, output = otce("run", path, *arguments, log=tmp_path / "log", env=prefect_api)
    assert code == 0, output
    local = otce("run", path, log=tmp_path / "log", env=prefect_api)
    assert local[0] == 0, local[1]
    for name in ("scores", "summary", "joints", "failures"):
        there = read_bytes(f"{store_uri}/runs/test/{name}.parquet", store_options)
        assert there == (tmp_path / f"store/runs/test/{name}.parquet").read_bytes()
    assert pq.read_table(tmp_path / "store/runs/test/summary.parquet").num_rows == 2
    code, output = otce("run", path, *arguments, log=tmp_path / "log", env=prefect_api)
    assert "nothing to compute, 2 reused" in output
