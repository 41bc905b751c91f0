"""S8: names are data, and no escape sequence in them reaches a terminal or a log."""

import io

import pyarrow as pa
import pytest
from rich.console import Console

from flows import cli
from flows.progress import Progress
from flows.show import show_failures, show_ranking, show_runs
from otce import tables
from otce.errors import ConfigError

ESCAPES = "a\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08\u202eb"


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=False, width=200)


def shown(console):
    text = console.file.getvalue()
    assert "owned" in text
    assert not {c for c in text if not c.isprintable() and c != "\n"}
    return text


def test_tables_obey_no_escape_sequence(terminal):
    row = dict.fromkeys(tables.SUMMARY.names, 0.5)
    row |= {"target_dataset": ESCAPES, "source_model": ESCAPES, "rank": 1}
    row |= {"tied_with": [ESCAPES], "degenerate": ESCAPES}
    show_ranking(terminal, pa.table({name: [value] for name, value in row.items()}))
    names = ("stage", "error_class", "message", "source_model", "target_dataset")
    show_failures(terminal, [dict.fromkeys(names, ESCAPES)])
    manifest = dict.fromkeys(("run_id", "finished", "preset"), ESCAPES)
    show_runs(
        terminal, [manifest | {"models": [], "targets": [], "pairs": {"total": 1, "failed": 0}}]
    )
    shown(terminal)


def test_progress_obeys_no_escape_sequence(terminal):
    Progress(terminal).say(ESCAPES)
    assert "[bold]" not in shown(terminal)


def test_errors_obey_no_escape_sequence(capsys):
    def command():
        raise ConfigError(ESCAPES)

    assert cli.guarded(command) == cli.WRONG_INPUT
    told = capsys.readouterr().err
    assert "owned" in told
    assert not {c for c in told if not c.isprintable() and c != "\n"}


def test_validate_obeys_no_escape_sequence(tmp_path, capsys):
    path = tmp_path / "run.yaml"
    name = '"a\\e]0;owned\\a\\e[2J"'
    path.write_text(
        f"datasets: {{{name}: {{layout: 'scenes:alder'}}, b: {{layout: 'scenes:dune'}}}}\n"
        f"models: {{{name}: {{reference: 'python:no:no', weights: /no, source: {name}}}}}\n"
        "targets: [b]\n"
        f"execution: {{store: {tmp_path / 'store'}}}\n"
    )
    assert cli.validate(str(path)) == cli.WRONG_INPUT
    told = "".join(capsys.readouterr())
    assert "owned" in told
    assert not {c for c in told if not c.isprintable() and c != "\n"}
