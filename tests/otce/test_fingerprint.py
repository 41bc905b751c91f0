"""Equal recipes have equal names, other recipes other names, in every process."""

import datetime as dt
import json
import math
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from otce.errors import ConfigError
from otce.fingerprint import canonical_json, digest, fingerprint

RECIPE = {
    "classes": ["road", "名前"],
    "ignore": {255, 11, 250, "void", "sky"},
    "label_map": {7: 0, 11: 1, 255: 255},
    "score": {"epsilon": 0.1, "solver": None, "exact": False},
    "size_px": (128, 192),
}
RECIPE_FINGERPRINT = "320983466b4a66f4295e7daf2da28959"
PRINT = f"from otce.fingerprint import fingerprint; print(fingerprint({RECIPE!r}))"

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
) | st.text()
recipes = st.recursive(
    scalars | st.frozensets(scalars, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["set", "pairs"]), inner, max_size=4)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


class Inner(BaseModel):
    size: tuple[int, int] = (1, 2)


class Outer(BaseModel):
    inner: Inner = Inner()
    names: frozenset[str] = frozenset({"a", "b"})


def decoded(value: Any) -> Any:
    """Read a canonical text back: what can be read back cannot have lost a difference."""
    if isinstance(value, list):
        return [decoded(v) for v in value]
    if isinstance(value, dict) and value.keys() == {"set"}:
        return frozenset(decoded(v) for v in value["set"])
    if isinstance(value, dict) and value.keys() == {"pairs"}:
        return {key: decoded(v) for key, v in value["pairs"]}
    return {key: decoded(v) for key, v in value.items()} if isinstance(value, dict) else value


def typed(value: Any) -> Any:
    """A value with its types, as Python itself holds 1, 1.0 and True for equal."""
    match value:
        case list():
            return [typed(v) for v in value]
        case frozenset():
            return sorted(repr(typed(v)) for v in value)
        case dict():
            return sorted((repr(typed(k)), repr(typed(v))) for k, v in value.items())
    return type(value), repr(value)


@given(recipes)
def test_no_difference_is_lost(recipe):
    assert typed(decoded(json.loads(canonical_json(recipe)))) == typed(recipe)


@given(st.dictionaries(st.text() | st.integers(), recipes, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(recipe, random):
    items = list(recipe.items())
    random.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(recipe)


@given(st.lists(st.text() | st.integers(), max_size=8), st.randoms())
def test_the_order_of_a_set_does_not_matter(members, random):
    shuffled = random.sample(members, len(members))
    assert fingerprint(set(members)) == fingerprint(frozenset(shuffled))


@given(recipes)
def test_a_fingerprint_is_32_digits_of_the_digest_of_the_text(recipe):
    assert fingerprint(recipe) == digest(canonical_json(recipe).encode())[:32]
    assert len(fingerprint(recipe)) == 32


@pytest.mark.parametrize(
    "recipes_of_one_value",
    [
        (0, 0.0, False, "0", None, [], "", {}),
        (1, 1.0, True, "1", [1], {1}, {1: None}, {"1": None}),
        ({"set": [1]}, {1}, [[1]]),
        ({"pairs": [[1, 2]]}, {1: 2}, {"1": 2}),
        ({"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"b": 1}),
        ([1, 2], [2, 1], [1, [2]], [12]),
        ({1: 0}, {True: 0}, {1.0: 0}),
    ],
)
def test_values_that_differ_have_other_fingerprints(recipes_of_one_value):
    assert len({fingerprint(recipe) for recipe in recipes_of_one_value}) == len(
        recipes_of_one_value
    )


def test_a_sequence_is_the_same_as_list_tuple_or_range():
    assert fingerprint([0, 1, 2]) == fingerprint((0, 1, 2)) == fingerprint(range(3))


def test_models_count_by_their_fields():
    plain = {"inner": {"size": [1, 2]}, "names": {"b", "a"}}
    assert fingerprint(Outer()) == fingerprint(plain) == fingerprint(MappingProxyType(plain))
    assert fingerprint(Outer(inner=Inner(size=(1, 3)))) != fingerprint(Outer())
    assert fingerprint([Outer(), Inner()]) == fingerprint([plain, {"size": (1, 2)}])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_have_a_fingerprint(bad):
    with pytest.raises(ConfigError, match=rf"recipe\.score\[1\]\.epsilon is {bad}: only finite"):
        fingerprint({"score": [0, {"epsilon": bad}]})


@pytest.mark.parametrize(
    "bad",
    [
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        Path("a"),
        object(),
        len,
        lambda: None,
        int,
        np.int64(3),
        np.zeros(2),
        Decimal("0.1"),
        1j,
        dt.date(2026, 1, 1),
        iter([1]),
    ],
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"a": v}, lambda v: [v], lambda v: {7: v}])
def test_values_without_a_stable_form_are_refused(bad, wrap):
    with pytest.raises(ConfigError, match=rf"recipe.* is a {type(bad).__name__}.* no stable form"):
        fingerprint(wrap(bad))


@pytest.mark.parametrize("bad", [math.nan, b"bytes", Path("a"), object()])
def test_keys_and_members_without_a_stable_form_are_refused(bad):
    for recipe in ({bad: 1}, {bad}, {"a": {bad}}):
        with pytest.raises(ConfigError, match="recipe"):
            fingerprint(recipe)


def test_the_fingerprint_of_a_recipe_never_changes():
    assert fingerprint(RECIPE) == RECIPE_FINGERPRINT


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_a_fresh_process_finds_the_same_fingerprint(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == RECIPE_FINGERPRINT
