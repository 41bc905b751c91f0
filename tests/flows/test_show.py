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
    row |= {"tied_with": [ESCAPES], "degenerate": ESCAPES, "metric": "otce"}
    other = row | {"metric": ESCAPES}
    show_ranking(terminal, pa.table({name: [row[name], other[name]] for name in row}))
    names = ("stage", "error_class", "message", "source_model", "target_dataset", "metric")
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


def ranked(*rows):
    blank = dict.fromkeys(tables.SUMMARY.names) | {"target_dataset": "bay", "degenerate": "none"}
    blank |= {"k_done": 3}
    return tables.table([blank | {"tied_with": []} | row for row in rows], tables.SUMMARY)


def test_what_other_metrics_choose_stands_below_with_their_agreement(terminal):
    order = {"otce": "abc", "h_score": "acb"}
    summary = ranked(
        *(
            {"source_model": model, "metric": metric, "mean": -k, "rank": k, "normalized": 0.5}
            | {"stderr": 0.1, "total_stderr": 0.25, "p_best_so_far": 0.97}
            for metric, models in order.items()
            for k, model in enumerate(models, 1)
        )
    )
    show_ranking(terminal, summary)
    lines = [line.split() for line in terminal.file.getvalue().splitlines()]
    assert ["2", "b", "-2.0000", "0.2500", "0.500"] in lines
    assert ["h_score", "0.33", "a,", "c,", "b"] in lines
    assert not any(line[:1] == ["otce"] for line in lines)
    assert "a has truly the best OTCE with probability 0.97" in terminal.file.getvalue()


def test_advice_names_as_many_models_as_it_takes(terminal):
    rows = [
        {"source_model": f"net-{k}", "mean": -k, "normalized": 0.5, "rank": 1, "metric": "otce"}
        | {"p_best_so_far": p}
        for k, p in enumerate([0.5, 0.96, 1.0])
    ]
    show_ranking(terminal, ranked(*rows))
    told = "one of the first 2 has truly the best OTCE with probability 0.96: net-0, net-1"
    assert told in terminal.file.getvalue()


def test_who_left_a_race_is_told(terminal):
    stayed = {"source_model": "a", "metric": "otce", "mean": -0.1, "normalized": 0.5, "rank": 1}
    left = stayed | {"source_model": "b", "rank": None, "k_done": 2}
    show_ranking(terminal, ranked(stayed, left))
    assert "left after 2 of 3" in terminal.file.getvalue()
    assert terminal.file.getvalue().count("left after") == 1


def test_a_large_zoo_is_told_by_its_first_models_and_targets(terminal):
    """A thousand models were once printed for each of a hundred targets: seconds of a start."""
    blank = dict.fromkeys(tables.SUMMARY.names) | {"metric": "otce", "degenerate": "none"}
    blank |= {"mean": -0.5, "normalized": 0.5, "k_done": 3, "tied_with": []}
    rows = [
        blank | {"target_dataset": f"target-{t:03}", "source_model": f"net-{m:04}", "rank": m + 1}
        for t in range(22)
        for m in range(40)
    ]
    show_ranking(terminal, tables.table(rows, tables.SUMMARY))
    text = terminal.file.getvalue()
    assert (
        text.count("net-0000") == text.count("net-0029") == text.count("and 10 more models") == 20
    )
    assert "net-0030" not in text
    assert "target-019" in text
    assert "target-020" not in text
    assert "and 2 more targets" in text
