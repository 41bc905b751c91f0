"""Names of measured transfers: all that changes their numbers, and nothing else."""

import copy
from dataclasses import replace

import pytest

from otce.config import RunConfig
from otce.identity import ModelIdentity, model_signature
from otce.measure_config import KINDS
from otce.model_config import Preprocessing
from otce.transfer.tables import Cell, truth_fingerprint
from otce.zoo.preprocess import chosen as done
from tests.two_values import BASE, OTHER

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
    trained = kind != "zero_shot"
    shape = {"shots": 5, "seed": 0} | cell if trained else {}
    found = Cell("net", "scenes", kind, **shape)
    return truth_fingerprint(
        chosen,
        found,
        side=side,
        training=chosen.measure.training(kind, found.seed) if trained else None,
        target_digest=target,
        evaluate=("third", "5" * 64),
    )


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
    elif path.startswith("measure.learning_rates."):
        wanted = {path.rpartition(".")[2]}
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


def test_scores_are_named_as_if_nothing_were_measured():
    assert config().fingerprint == RunConfig.model_validate(BASE | {"measure": None}).fingerprint
