"""The two halves of a configuration: science names every object, execution names none."""

import copy
from dataclasses import replace
from functools import partial
from typing import get_args

import pytest
from pydantic import ValidationError

from otce.census import dataset_digest
from otce.config import (
    ExecutionConfig,
    FolderDataset,
    RunConfig,
    ScenesDataset,
    ScoreConfig,
)
from otce.dataset_config import (
    Bdd100kDataset,
    CamvidDataset,
    CityscapesDataset,
    Gta5Dataset,
    VocDataset,
)
from otce.datasets import open_dataset
from otce.fingerprint import fingerprint
from otce.identity import (
    ModelIdentity,
    PairNames,
    heat_sample_fingerprint,
    model_signature,
    sample_fingerprint,
)
from otce.model_config import ModelConfig, Preprocessing
from otce.recipe import FROM_COUPLING, Metric
from otce.section import Section
from otce.zoo.preprocess import chosen as done
from tests.two_values import BASE, NOT_IN_A_PAIR, OTHER

IDS = {
    FolderDataset: ("folder",),
    ScenesDataset: ("scenes",),
    CityscapesDataset: ("cityscapes",),
    Bdd100kDataset: ("bdd100k",),
    Gta5Dataset: ("gta5",),
    CamvidDataset: ("camvid",),
    VocDataset: ("voc",),
    ModelConfig: ("net",),
}
MODEL = ModelIdentity("1" * 64, "2" * 64, Preprocessing())
DIGESTS = {"source_digest": "3" * 64, "target_digest": "4" * 64}


def sections_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in sections_in(part)]


def leaves(section, path=()):
    """Dotted paths of all fields, found by walking the models."""
    for name, field in section.model_fields.items():
        inner = sections_in(field.annotation)
        if not inner:
            yield ".".join((*path, name))
        for found in inner:
            yield from leaves(found, (*path, name, *IDS.get(found, ())))


def config(**changes):
    data = copy.deepcopy(BASE)
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = data
        for name in sections:
            section = section[name]
        section[key] = value
    return RunConfig.model_validate(data)


def pair(chosen, *, model=MODEL, model_id="net", target="scenes", name=PairNames.pair, **rest):
    digests = DIGESTS | rest
    metric = digests.pop("metric", "otce")
    known = done(chosen.models[model_id].preprocessing, model.preprocessing)
    side = model_signature(
        chosen,
        model_id,
        model=replace(model, preprocessing=known),
        source=chosen.models[model_id].source,
        source_digest=digests["source_digest"],
        classes=("road", "grass"),
    )
    return name(PairNames(chosen, model_id, side), target, digests["target_digest"], metric)


def test_every_field_is_placed():
    assert sorted({*leaves(RunConfig)} - {"datasets.voc.items"}) == sorted(OTHER)
    assert NOT_IN_A_PAIR.keys() <= OTHER.keys()


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_the_run_exactly_if_it_is_science(path):
    changed = config(**{path: OTHER[path]})
    assert repr(changed) != repr(config())
    # What is measured is told apart by names of its own: tests/otce/test_truth.py.
    is_science = not path.startswith(("execution.", "measure."))
    assert (changed.fingerprint != config().fingerprint) == is_science


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_the_pair_exactly_if_it_can_change_a_number(path):
    is_science = not path.startswith(("execution.", "measure."))
    in_pair = is_science and path not in NOT_IN_A_PAIR
    assert (pair(config(**{path: OTHER[path]})) != pair(config())) == in_pair


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_the_drawn_pixels_exactly_if_it_is_about_drawing(path):
    names = [sample_fingerprint(c, "5" * 64) for c in (config(), config(**{path: OTHER[path]}))]
    assert (names[0] != names[1]) == (path == "seed" or path.startswith("sampling."))
    assert sample_fingerprint(config(), "6" * 64) not in names


HEATS = {"race.heats", "race.heat_images", "race.heat_pixels"}
RANGED = OTHER.keys() - NOT_IN_A_PAIR.keys() - {"sampling.repetitions"}


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_heats_exactly_if_it_can_change_their_scores_or_pixels(path):
    changed, base = config(**{path: OTHER[path]}), config()
    drawn = [heat_sample_fingerprint(c, "5" * 64) for c in (changed, base)]
    about_drawing = path in {"seed", "sampling.pixels", "sampling.too_few_pixels", *HEATS}
    assert (drawn[0] != drawn[1]) == about_drawing
    ranged = [pair(c, name=PairNames.repetitions) for c in (changed, base)]
    assert (ranged[0] != ranged[1]) == (
        path in RANGED and not path.startswith(("execution.", "measure."))
    )
    heats = [pair(c, name=partial(PairNames.repetitions, heat=True)) for c in (changed, base)]
    assert (heats[0] != heats[1]) == (
        ranged[0] != ranged[1] or path in HEATS - {"race.heats"}  # a heat depends on its own number
    )
    assert len({*ranged, *heats} & {pair(base), pair(changed)}) == 0


def test_full_runs_are_named_as_if_there_were_no_races():
    full = config(strategy="full")
    known = {n: value for n, value in full if n not in {"execution", "measure", "strategy", "race"}}
    assert full.fingerprint == fingerprint(known)
    assert config(strategy="full", **{"race.top_k": 5}).fingerprint == full.fingerprint
    assert config().fingerprint != full.fingerprint
    assert pair(config()) == pair(full)


def test_a_pair_is_named_by_every_digest_and_id():
    named = [
        pair(config()),
        pair(config(), model=replace(MODEL, weights_digest="0" * 64)),
        pair(config(), model=replace(MODEL, code_digest="0" * 64)),
        pair(config(), model=replace(MODEL, preprocessing=Preprocessing(size_px=(8, 8)))),
        pair(config(), source_digest="0" * 64),
        pair(config(), target_digest="0" * 64),
        pair(config(), source_digest="4" * 64, target_digest="3" * 64),
        pair(config(), target="third"),
    ]
    twin = config(models=dict.fromkeys(("net", "twin"), BASE["models"]["net"]))
    assert pair(twin) == named[0]
    named.append(pair(twin, model_id="twin"))
    assert len(set(named)) == len(named)


def test_what_the_digest_of_drawn_scenes_is_said_to_hold_changes_it():
    def whole(chosen):
        dataset = open_dataset(chosen.datasets["scenes"])
        return dataset_digest(dataset, map(dataset.digests, dataset.items))

    told = [path for path in NOT_IN_A_PAIR if path.startswith("datasets.scenes.")]
    digests = [whole(config())] + [whole(config(**{path: OTHER[path]})) for path in told]
    # Its own name for itself is no content.
    assert len(set(digests)) == 1 + len(ScenesDataset.model_fields.keys() - {"digest"})


@pytest.mark.parametrize("name", ScoreConfig.model_fields)
def test_no_two_values_of_a_score_field_share_a_name(name):
    kinds = get_args(ScoreConfig.model_fields[name].annotation)
    kinds = [kind for kind in kinds if isinstance(kind, str)]
    assert len({pair(config(**{f"score.{name}": kind})) for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_a_setting_names_exactly_the_metrics_that_depend_on_it(metric):
    """So that a metric that is added later, or changed, leaves the others where they are."""
    own = {"otce": {"epsilon_curve"}, "otce_robust": {"robust"}, "otce_full": {"full"}}
    shared = {"epsilon", "feature_scaling", "relaxation", "class_weights", "solver", "tolerance"}
    shared |= {"max_iterations"}
    wanted = own.get(metric, set()) | (shared if metric in FROM_COUPLING else set())
    # Its own coupling stands in place of the recipe's.
    wanted -= {"relaxation", "class_weights"} if metric == "otce_robust" else set()
    changes = [path for path in OTHER if path.startswith("score.")]
    name = partial(pair, metric=metric)
    found = {p.split(".")[1] for p in changes if name(config(**{p: OTHER[p]})) != name(config())}
    assert found == wanted


def test_every_metric_of_a_pair_has_a_name_of_its_own():
    names = {pair(config(), metric=metric) for metric in get_args(Metric)}
    assert len(names) == len(get_args(Metric))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metrics": ["logme"]}, "otce is missing"),
        ({"metrics": ["otce", "logme", "logme"]}, "written twice"),
        ({"metrics": ["otce", "otce_full"], "score.full": None}, "otce_full has no coefficients"),
    ],
)
def test_metrics_that_cannot_be_had_are_refused(change, told):
    with pytest.raises(ValidationError, match=told):
        config(**change)


def test_the_order_of_what_has_no_order_does_not_matter():
    shuffled = config(**{"datasets.folder.ignore": [255, 250], "models.net.arguments": {"n": 1}})
    ordered = config(**{"datasets.folder.ignore": [250, 255]})
    assert shuffled.fingerprint == ordered.fingerprint
    backwards = RunConfig.model_validate(dict(reversed(list(BASE.items()))))
    assert backwards.fingerprint == config().fingerprint


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 1
    assert ExecutionConfig.model_config["extra"] == "forbid"
