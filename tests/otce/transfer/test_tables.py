"""Names of measured transfers: all that changes their numbers, and nothing else."""

import copy
from dataclasses import replace

import pytest

from otce.config import RunConfig
from otce.identity import ModelIdentity, model_signature
from otce.measure_config import KINDS as OF_TRUTH
from otce.measure_config import SHORT
from otce.model_config import Preprocessing
from otce.transfer.tables import Cell, truth_fingerprint
from otce.zoo.preprocess import chosen as done
from tests.two_values import BASE, OTHER

KINDS = (*OF_TRUTH, SHORT)
MODEL = ModelIdentity("1" * 64, "2" * 64, Preprocessing())
OF_THE_MODEL = {
    "models.net.reference",
    "models.net.arguments",
    *(path for path in OTHER if path.startswith("models.net.preprocessing.")),
}
"""What makes a network another one; all else that could is in its digests."""
OF_ALL_TRAINING = {
    f"measure.{name}" for name in ("steps", "batch_size", "crop", "weight_decay", "validation")
}


def config(path=None):
    data = copy.deepcopy(BASE)
    if path:
        *sections, key = path.split(".")
        section = data
        for name in sections:
            section = section[name]
        section[key] = OTHER[path]
    return RunConfig.model_validate(data)


def name(chosen, kind, *, model=MODEL, classes=("road", "sky"), target="4" * 64, **cell):
    preprocessing = done(chosen.models["net"].preprocessing, model.preprocessing)
    side = model_signature(
        chosen,
        "net",
        model=replace(model, preprocessing=preprocessing),
        source=chosen.models["net"].source,
        source_digest="3" * 64,
        classes=classes,
    )
    trained, seed = kind != "zero_shot", cell.get("seed", 0)
    shape = {"shots": 5, "seed": 0} | cell if trained else {}
    found = Cell("net", "scenes", kind, **shape)
    return truth_fingerprint(
        chosen,
        found,
        side=side,
        training=training(chosen.measure, kind, seed) if trained else None,
        target_digest=target,
        evaluate=("third", "5" * 64),
    )


def training(measure, kind, seed):
    if kind == SHORT:
        return measure.short_training(seed, measure.short_steps or 1, keeps_head=True)
    return measure.training(kind, seed)


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_exactly_the_transfers_that_depend_on_it(path):
    changed = {kind for kind in KINDS if name(config(path), kind) != name(config(), kind)}
    wanted = set()
    if path in OF_THE_MODEL:
        wanted = set(KINDS)
    elif path == "models.net.source":
        wanted = set(KINDS) - {"scratch"}
    elif path in OF_ALL_TRAINING:
        wanted = set(KINDS) - {"zero_shot"}
        # It has steps of its own.
        wanted -= {SHORT} if path == "measure.steps" else set()
    elif path.startswith("measure.learning_rates."):
        wanted = {path.rpartition(".")[2]}
        # With the source's classifier; with a new one it takes the rate of those.
        wanted |= {SHORT} if "fine_tune" in wanted else set()
    elif path == "measure.short_steps":
        wanted = {SHORT}
    assert changed == wanted


def test_training_from_scratch_is_shared_by_models_that_differ_in_weights_alone():
    other = replace(MODEL, weights_digest="0" * 64)
    shared = {kind for kind in KINDS if name(config(), kind) == name(config(), kind, model=other)}
    assert shared == {"scratch"}


def test_every_kind_seed_size_and_digest_has_a_name_of_its_own():
    chosen = config()
    names = [name(chosen, kind) for kind in KINDS]
    names += [name(chosen, "head", seed=1), name(chosen, "head", shots=6)]
    names += [name(chosen, "head", target="0" * 64), name(chosen, "head", classes=("road", "sea"))]
    names += [name(chosen, "head", model=replace(MODEL, code_digest="0" * 64))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("rates", "expected"), [([2e-3], 2e-3), ([1e-2, 1e-4], 1e-2), ([3.0, 1.0, 2.0], 2.0)]
)
@pytest.mark.parametrize("keeps_head", [True, False])
def test_a_short_fine_tune_is_a_fine_tune_of_its_own_steps_at_one_rate(rates, expected, keeps_head):
    kind = "fine_tune" if keeps_head else "fine_tune_new_head"
    measure = config().measure.model_validate({"learning_rates": {kind: rates}, "steps": 9})
    found = measure.short_training(4, 7, keeps_head=keeps_head)
    expected = {"steps": 7, "learning_rates": (expected,)}
    assert found == replace(measure.training(kind, 4), **expected)


def test_scores_are_named_as_if_nothing_were_measured():
    assert config().fingerprint == RunConfig.model_validate(BASE | {"measure": None}).fingerprint
