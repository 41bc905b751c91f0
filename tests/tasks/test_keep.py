"""Kept draws come back as they were, however many parts they were kept from, or are refused."""

import numpy as np
import pytest
import ray

from otce.config import ExecutionConfig
from otce.draw import Draw
from otce.errors import ModelError, StoreError
from otce.signature import draw_key, encode, kept_uris
from otce.storage.store import Store
from tasks.keep import keep_draws, read_draws
from tasks.retry import GaveUpError
from tests.otce.test_signature import SIDE, draws, same

MIB = 1 << 20


@pytest.fixture
def execution(ray_plan, tmp_path):
    return ExecutionConfig(store=str(tmp_path / "store"), attempts=2)


def parts_of(wanted, cuts):
    """References of the parts of each draw, some of them empty."""
    return [
        [
            ray.put(Draw(*columns))
            for columns in zip(*(np.split(column, cuts) for column in draw[:3]), strict=True)
        ]
        for draw in wanted.values()
    ]


def test_parts_are_kept_as_one_and_read_back(execution):
    wanted, store = draws(), Store(execution.store)
    keep_draws(parts_of(wanted, [2, 2, 4]), SIDE, execution)
    for k, draw in wanted.items():
        assert store.get(draw_key(SIDE, k)) == encode(SIDE, {k: draw})
    # A draw depends on its own key alone: fewer are wanted, and found.
    uris = kept_uris(SIDE, 2, store)
    assert len(uris) == 2
    refs = read_draws(uris, SIDE, 2, execution, MIB)
    found = {k: ray.get(part) for k, [part] in enumerate(refs)}
    assert same(found, {k: wanted[k] for k in range(2)})
    assert kept_uris(SIDE, 4, store) == ()
    assert kept_uris(SIDE.model_copy(update={"seed": 8}), 1, store) == ()


def test_one_file_of_all_is_read_as_well(execution, tmp_path):
    wanted, file = draws(), tmp_path / "net.sig"
    file.write_bytes(encode(SIDE, wanted))
    refs = read_draws((str(file),), SIDE, 3, execution, MIB)
    assert same({k: ray.get(part) for k, [part] in enumerate(refs)}, wanted)


def test_what_changed_since_it_was_found_is_refused_for_good(execution):
    store = Store(execution.store)
    keep_draws(parts_of(draws(), []), SIDE, execution)
    uris = kept_uris(SIDE, 3, store)
    other = SIDE.model_copy(update={"tap": "logits"})
    with pytest.raises(GaveUpError, match='tap is "head" there and "logits" here') as caught:
        read_draws(uris, other, 3, execution, MIB)
    assert isinstance(caught.value.error, ModelError)
    key = draw_key(SIDE, 1)
    store.put(key, store.get(key)[:-1] + b"x")
    with pytest.raises(GaveUpError, match=r"1\.safetensors is damaged") as caught:
        read_draws(uris, SIDE, 3, execution, MIB)
    assert isinstance(caught.value.error, StoreError)
    assert caught.value.attempts == 1


def test_a_store_that_refuses_is_told(execution, tmp_path):
    (tmp_path / "store").write_text("a file where a folder should be")
    with pytest.raises(GaveUpError, match="cannot write") as caught:
        keep_draws(parts_of(draws(), []), SIDE, execution)
    assert isinstance(caught.value.error, StoreError)
