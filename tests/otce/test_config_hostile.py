"""No text, however hostile, runs code, takes long, or raises anything but a `ConfigError`."""

import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from otce.config_file import check, load_config
from otce.errors import ConfigError
from otce.yaml_places import Document, parse, parse_value

LIMIT_S = 20.0  # CPU time; a bomb would take hours


def bomb(levels=12, width=9):
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    return "\n".join(lines)


def merge_bomb(levels=12, width=9):
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} {{<<: [{aliases}]}}")
    return "\n".join(lines)


HOSTILE = {
    "code": "a: !!python/object/apply:os.system ['touch canary']",
    "object": "a: !!python/object:otce.errors.OtceError {}",
    "name": "a: !!python/name:os.system",
    "alias bomb": bomb(),
    "alias bomb in a key": f"{bomb()}\n? *a11\n: 1",
    "merge bomb": merge_bomb(),
    "alias of itself": "a: &a [*a]",
    "merge of itself": "a: &a {<<: *a}",
    "deep lists": "a: " + "[" * 10_000,
    "deep closed lists": "a: " + "[" * 10_000 + "]" * 10_000,
    "deep mappings": "a: " + "{" * 10_000,
    "deep blocks": "- " * 10_000,
    "deep keys": "? " * 10_000,
    "just too deep": "a: " + "[" * 45 + "]" * 45,
    "two mebibytes": "a: " + "x" * (2 << 20),
    "a million lists": "[" * 1_000_000,
    "a long number": "a: " + "9" * 10_000,
    "a long sexagesimal number": "a: " + "1:" * 100_000 + "1",
    "a long number as a key": "1:" * 100_000 + "1: x",
    "a list": "- a",
    "a word": "a",
    "nothing": "",
    "only a comment": "# a",
    "two documents": "a: 1\n---\nb: 2",
    "no YAML": "a: [1\nb: }",
    "a tab": "a:\n\t- b",
    "a list as a key": "? [a, b]\n: 1",
    "a mapping as a key": "? {a: b}\n: 1",
    "an unknown anchor": "a: *b",
    "a merge of a number": "a: {<<: 3}",
    "a NUL": "a: \x00",
    "an impossible date": "a: 2026-13-45",
    "a date that is none": "a: !!timestamp x",
    "an integer that is none": "a: !!int x",
    "an empty integer": "a: !!int ''",
    "a truth that is none": "a: !!bool x",
    "a float that is none": "a: !!float x",
    "a date before the first": "a: 0001-01-01T00:00:00+23:59",
    "a set": "a: !!set {x}",
    "many unknown keys": "".join(f"k{i}: 1\n" for i in range(5_000)),
    "many dangling targets": f"datasets: {{a: 1}}\ntargets: [{', '.join(['b'] * 20_000)}]",
    "names that are lists": "datasets: {a: 1}\ntargets: [[a]]\nmodels: {m: {source: {a: b}}}",
    "names that are numbers": "datasets: {1: 1}\ntargets: [1]\nmodels: {2: {source: 1}}",
    "sections that are words": "datasets: a\nmodels: b\ntargets: c\nscore: d\nexecution: e",
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
words = st.sampled_from(
    ["datasets", "models", "targets", "score", "sampling", "execution", "preset", "city", "net"]
) | st.sampled_from(
    ["layout", "classes", "label_map", "ignore", "source", "arguments", "weights", "epsilon"]
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_quickly_and_runs_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.yaml"
    path.write_text(HOSTILE[name], encoding="utf-8", newline="")
    start_s = time.process_time()
    with pytest.raises(ConfigError, match=r"run\.yaml") as caught:
        load_config(str(path))
    assert time.process_time() - start_s < LIMIT_S
    assert len(str(caught.value)) < 40_000
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \xe9", bytes(range(256))])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(ConfigError, match="not YAML"):
        parse(data, "run.yaml")


def test_the_largest_file_is_a_mebibyte():
    fits = b"a: 1 #" + b" " * ((1 << 20) - 6)
    assert parse(fits, "run.yaml").data == {"a": 1}
    with pytest.raises(ConfigError, match="has 1048577 bytes; a configuration has at most 1048576"):
        parse(fits + b" ", "run.yaml")


def test_forty_levels_are_deep_enough():
    assert parse(b"a: " + b"[" * 39 + b"]" * 39, "run.yaml").data
    with pytest.raises(ConfigError, match=r"run\.yaml: nests deeper than 40 levels"):
        parse(b"a: " + b"[" * 41 + b"]" * 41, "run.yaml")


def test_ordinary_aliases_and_merges_are_taken():
    text = b"a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, x: 3}\nd: {<<: [*a, {z: 4}]}"
    document = parse(text, "run.yaml")
    assert document.data["c"] == {"x": 3, "y": [1, 2]}
    assert document.data["d"] == {"x": 1, "y": [1, 2], "z": 4}
    assert document.problems == ()
    assert document.places[("c", "x")] == "line 3, column 13"
    assert document.places[("a", "y", "1")] == "line 1, column 21"


def test_two_spellings_of_one_key_are_a_duplicate():
    problems = parse(b'a: {7: 0, "7": 1}\n"a": 2', "run.yaml").problems
    assert problems == (
        "line 1, column 11: a.7: duplicate key; keep one of the two",
        "line 2, column 1: a: duplicate key; keep one of the two",
    )


@given(st.text())
def test_no_text_raises_anything_else(text):
    for read in (lambda: check(parse(text.encode(), "x")), lambda: parse_value(text, "x")):
        with suppress(ConfigError):
            read()


@given(st.dictionaries(words | st.text(), values | st.dictionaries(words, values), max_size=6))
def test_no_data_raises_anything_else(data):
    with pytest.raises(ConfigError):
        check(Document(data))


@given(st.dictionaries(words, st.dictionaries(words, values, max_size=3), max_size=6))
def test_what_yaml_wrote_is_parsed_as_it_was(data):
    text = yaml.safe_dump(data, allow_unicode=True)
    assert repr(parse(text.encode(), "x").data) == repr(yaml.safe_load(text))
