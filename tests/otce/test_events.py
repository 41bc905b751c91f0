"""Events: nothing for who did not ask, whole JSON lines for who did."""

import contextvars
import json
import logging
import subprocess
import sys
import threading

import pytest

from otce.events import JsonFormatter, about, event, json_lines


@pytest.fixture
def told(monkeypatch, capsys):
    """What is written while `OTCE_LOG=json`."""
    monkeypatch.setenv("OTCE_LOG", "json")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_has_a_time_a_level_its_name_and_what_it_is_about(told):
    with json_lines(), about(run_id="zoo"), about(model="a", stage=None):
        event("retried", level=logging.WARNING, attempt=2, seconds=1.23456)
    event("late")
    (line,) = told()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "event": "retried",
        "run_id": "zoo",
        "model": "a",
        "attempt": 2,
        "seconds": 1.235,
    }


def test_what_an_event_is_about_ends_with_its_block_and_follows_into_copied_contexts(told):
    with json_lines():
        with about(model="a"):
            thread = threading.Thread(target=contextvars.copy_context().run, args=(event, "one"))
            thread.start()
            thread.join()
        event("two")
    assert [line.get("model") for line in told()] == ["a", None]


@pytest.mark.parametrize("hostile", ["a\x1b[2Jb", "a\r\nb", "a\u202eb", "\x9b31m", "a\x00b"])
def test_texts_are_one_line_without_control_characters(told, hostile):
    with json_lines(), about(model=hostile):
        event("pair_failed", message=hostile)
    (line,) = told()
    assert line["model"] == line["message"]
    assert line["model"].isprintable()


def test_records_of_others_have_the_same_form():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%d models", (3,), None)
    assert json.loads(JsonFormatter().format(record))["event"] == "3 models"


def test_nobody_who_did_not_ask_sees_events_even_when_the_root_logs_everything():
    code = (
        "import logging\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from otce.events import event, json_lines\n"
        "with json_lines():\n"
        "    event('pair_failed', level=logging.CRITICAL, message='no')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")
