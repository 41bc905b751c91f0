"""The two halves of a configuration: science names every object, execution names none."""

import copy
from dataclasses import replace
from typing import get_args

import pytest

from otce.census import dataset_digest
from otce.config import (
    ExecutionConfig,
    FolderDataset,
    ModelConfig,
    RunConfig,
    ScenesDataset,
    ScoreConfig,
    Section,
)
from otce.dataset_config import (
    Bdd100kDataset,
    CamvidDataset,
    CityscapesDataset,
    Gta5Dataset,
    VocDataset,
)
from otce.datasets import open_dataset
from otce.identity import ModelIdentity, pair_fingerprint, sample_fingerprint

# What all layouts of files share, with two values each.
FILES = {
    "items": (None, "list.txt"),
    "every": (1, 2),
    "limit": (None, 3),
    "seed": (0, 1),
    "max_image_px": (100, 101),
}
LAYOUTS = {
    "cityscapes": {
        "split": ("train", "val"),
        "cities": ([], ["ulm"]),
        "by": (None, "city"),
    },
    "bdd100k": {"split": ("train", "val")},
    "gta5": {"split": (None, "train"), "known_bad_frames": ("leave_out", "keep")},
    "camvid": {"sequences": ([], ["0001TP"]), "by": (None, "sequence")},
    "voc": {
        "split": ("train", "val"),
        "classes": (["road", "sky"], ["road", "sea"]),
        "ignore": ([255], [250, 255]),
        "label_map": ({7: 0}, {7: 1}),
    },
}
FIELDS = {
    kind: {"layout": (f"{kind}:/data", f"{kind}:/elsewhere")} | FILES | fields
    for kind, fields in LAYOUTS.items()
}
# VOC takes one list; with `items` there is none of a split.
del FIELDS["voc"]["items"]
OF_LAYOUTS = {
    f"datasets.{kind}.{name}": other
    for kind, fields in FIELDS.items()
    for name, (_, other) in fields.items()
}
# Every field has a value here and another valid one in OTHER.
BASE = {
    "preset": "default",
    "seed": 0,
    "datasets": {
        "folder": {
            "layout": "folder:/data",
            "images": "i/*.png",
            "labels": "l/*.png",
            "items": None,
            "classes": ["road", "sky"],
            "ignore": [255],
            "label_map": {7: 0},
            "every": 1,
            "limit": None,
            "seed": 0,
            "max_image_px": 100,
        },
        **{kind: {n: v for n, (v, _) in fields.items()} for kind, fields in FIELDS.items()},
        "scenes": {"layout": "scenes:alder", "count": 2, "size_px": [32, 48], "first": 0},
        "third": {"layout": "scenes:dune"},
    },
    "models": {
        "net": {
            "factory": "python:nets:net",
            "arguments": {"n": 1},
            "trusted": False,
            "weights": "/w.safetensors",
            "weights_digest": None,
            "source": "folder",
            "preprocessing": {
                "size_px": None,
                "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5],
                "channel_order": "rgb",
            },
            "tap": "head",
        }
    },
    "targets": ["scenes"],
    "sampling": {"pixels": 10, "repetitions": 2, "too_few_pixels": "refuse"},
    "score": {
        "epsilon": 0.1,
        "feature_scaling": "standardize",
        "relaxation": "none",
        "class_weights": "uniform",
        "solver": "auto",
        "tolerance": 1e-3,
        "max_iterations": 100,
    },
    "execution": {},
}
OTHER = {
    "preset": "paper",
    "seed": 1,
    "datasets.folder.layout": "folder:/elsewhere",
    "datasets.folder.images": "j/*.png",
    "datasets.folder.labels": "m/*.png",
    "datasets.folder.items": "list.txt",
    "datasets.folder.classes": ["road", "sea"],
    "datasets.folder.ignore": [250, 255],
    "datasets.folder.label_map": {7: 1},
    "datasets.folder.every": 2,
    "datasets.folder.limit": 3,
    "datasets.folder.seed": 1,
    "datasets.folder.max_image_px": 101,
    **OF_LAYOUTS,
    "datasets.scenes.layout": "scenes:ember",
    "datasets.scenes.count": 3,
    "datasets.scenes.size_px": [32, 49],
    "datasets.scenes.first": 1,
    "models.net.factory": "python:nets:other",
    "models.net.arguments": {"n": 1.0},
    "models.net.trusted": True,
    "models.net.weights": "/elsewhere.safetensors",
    "models.net.weights_digest": "a" * 64,
    "models.net.source": "third",
    "models.net.preprocessing.size_px": [8, 16],
    "models.net.preprocessing.mean": [0.5, 0.5, 0.4],
    "models.net.preprocessing.std": [0.5, 0.5, 0.4],
    "models.net.preprocessing.channel_order": "bgr",
    "models.net.tap": "logits",
    "targets": ["scenes", "third"],
    "sampling.pixels": 11,
    "sampling.repetitions": 3,
    "sampling.too_few_pixels": "shrink",
    "score.epsilon": 0.2,
    "score.feature_scaling": "l2",
    "score.relaxation": "source",
    "score.class_weights": "balanced",
    "score.solver": "emd",
    "score.tolerance": 1e-4,
    "score.max_iterations": 101,
    "execution.name": "other",
    "execution.run_id": "other",
    "execution.store": "/other",
    "execution.storage_options": {"s3": {"anon": True}},
    "execution.python_path": ["/other"],
    "execution.workers": 3,
    "execution.actors": 3,
    "execution.gpus_per_actor": 0.5,
    "execution.cpus_per_actor": 3,
    "execution.batch_size": 3,
    "execution.items_per_shard": 3,
    "execution.in_flight": 3,
    "execution.attempts": 4,
    "execution.time_limit_s": 3.0,
}
# Science that changes no number of a pair by itself, and why.
NOT_IN_A_PAIR = {
    "preset": "a name for values of sampling and score, which are hashed themselves",
    "targets": "which other targets are scored changes no pair",
    "datasets.folder.layout": "where the files lie; the digest holds their bytes",
    "datasets.folder.images": "where the files lie; ids and bytes are in the digest",
    "datasets.folder.labels": "where the files lie; ids and bytes are in the digest",
    "datasets.folder.items": "which items: in the digest",
    "datasets.folder.classes": "in the digest",
    "datasets.folder.ignore": "in the digest",
    "datasets.folder.label_map": "in the digest",
    "datasets.folder.every": "which items: in the digest",
    "datasets.folder.limit": "which items: in the digest",
    "datasets.folder.seed": "which items: in the digest",
    "datasets.folder.max_image_px": "refuses an image whole, never changes one",
    **dict.fromkeys(OF_LAYOUTS, "which items, and what their masks mean: in the digest"),
    "datasets.scenes.layout": "in the digest",
    "datasets.scenes.count": "in the digest",
    "datasets.scenes.size_px": "in the digest",
    "datasets.scenes.first": "in the digest",
    "models.net.trusted": "whether the code may run, not what it does",
    "models.net.weights": "where the file lies; the identity holds its digest",
    "models.net.weights_digest": "checked against the digest that the identity holds",
}
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
MODEL = ModelIdentity("1" * 64, "2" * 64)
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


def pair(chosen, *, model=MODEL, model_id="net", target="scenes", **digests):
    return pair_fingerprint(chosen, model_id, target, model=model, **DIGESTS | digests)


def test_every_field_is_placed():
    assert sorted({*leaves(RunConfig)} - {"datasets.voc.items"}) == sorted(OTHER)
    assert NOT_IN_A_PAIR.keys() <= OTHER.keys()


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_the_run_exactly_if_it_is_science(path):
    changed = config(**{path: OTHER[path]})
    assert repr(changed) != repr(config())
    is_science = not path.startswith("execution.")
    assert (changed.fingerprint != config().fingerprint) == is_science


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_the_pair_exactly_if_it_can_change_a_number(path):
    in_pair = not path.startswith("execution.") and path not in NOT_IN_A_PAIR
    assert (pair(config(**{path: OTHER[path]})) != pair(config())) == in_pair


@pytest.mark.parametrize("path", OTHER)
def test_a_field_names_the_drawn_pixels_exactly_if_it_is_about_drawing(path):
    names = [sample_fingerprint(c, "5" * 64) for c in (config(), config(**{path: OTHER[path]}))]
    assert (names[0] != names[1]) == (path == "seed" or path.startswith("sampling."))
    assert sample_fingerprint(config(), "6" * 64) not in names


def test_a_pair_is_named_by_every_digest_and_id():
    named = [
        pair(config()),
        pair(config(), model=replace(MODEL, weights_digest="0" * 64)),
        pair(config(), model=replace(MODEL, code_digest="0" * 64)),
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
    assert len(set(digests)) == 1 + len(ScenesDataset.model_fields)


@pytest.mark.parametrize("name", ScoreConfig.model_fields)
def test_no_two_values_of_a_score_field_share_a_name(name):
    kinds = get_args(ScoreConfig.model_fields[name].annotation)
    kinds = [kind for kind in kinds if isinstance(kind, str)]
    assert len({pair(config(**{f"score.{name}": kind})) for kind in kinds}) == len(kinds)


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
