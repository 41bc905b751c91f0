"""`otce serve` refuses what cannot be served before anything is started."""

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import cli
from flows.serve import _numbered, serve_command
from tests.zoo import zoo_config

NIGHTLY = "0 2 * * *"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "zoo.yaml"
    path.write_text(yaml.safe_dump(zoo_config()))
    return str(path)


def served(path, *, url, **options):
    with temporary_settings({PREFECT_API_URL: url}):
        return cli.guarded(lambda: serve_command(path, **options))


def test_without_a_server_it_says_how_to_start_one(path, capsys):
    assert served(path, url=None, cron=NIGHTLY) == cli.UNREACHABLE
    assert "start one with prefect server start" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cron": "every night"}, "--cron every night --timezone UTC: "),
        ({"cron": NIGHTLY, "timezone": "Mars/Olympus"}, "--timezone Mars/Olympus: "),
        ({"cron": NIGHTLY, "overrides": ["score.epsilon=-1"]}, "score.epsilon"),
    ],
)
def test_a_wrong_schedule_or_configuration_is_a_sentence_and_exit_code_2(
    path, capsys, options, told
):
    assert served(path, url="http://127.0.0.1:9/api", **options) == cli.WRONG_INPUT
    assert told in capsys.readouterr().err


def test_runs_are_numbered_unless_an_id_is_given(path, tmp_path):
    assert _numbered(path, []) == []
    config = zoo_config()
    del config["execution"]["run_id"]
    other = tmp_path / "night.yaml"
    other.write_text(yaml.safe_dump(config))
    assert _numbered(str(other), ["seed=1"]) == ["seed=1", "execution.run_id=night-{n}"]
    assert _numbered(str(other), ["execution.run_id=mine"]) == ["execution.run_id=mine"]
