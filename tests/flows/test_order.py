"""The most expensive models are scored first, as far as that is known before any runs."""

from types import SimpleNamespace

from flows.order import most_expensive_first
from flows.sources import source_side
from otce.config_file import load_config
from tests.zoo import write_zoo, zoo_config


def work(tmp_path, change, *, kept=()):
    """What the order looks at: sizes of weights, preprocessing, and how many items sets have."""
    zoo = zoo_config(models=3)
    change(zoo["models"])
    config = load_config(str(write_zoo(tmp_path, zoo)))
    known = {"alder": ("0" * 64, ("a",))}
    items = {"alder": 40, "birch": 6, "dune": 6}
    return SimpleNamespace(
        config=config,
        sides={id_: source_side(id_, config, {}, known) for id_ in config.models},
        kept=dict.fromkeys(kept, ()),
        drawn=lambda id_, heat: SimpleNamespace(listed=SimpleNamespace(items=range(items[id_]))),  # noqa: ARG005
    )


PAIRS = {f"net-{i}": ["birch", "dune"] for i in range(3)}


def test_larger_weights_come_first(tmp_path):
    def change(models):
        models["net-1"]["arguments"]["width"] = 64
        models["net-2"]["arguments"]["width"] = 16

    found = most_expensive_first(PAIRS, work(tmp_path, change), heat=False)
    assert list(found) == ["net-1", "net-2", "net-0"]


def test_larger_inputs_come_first_and_kept_sources_last(tmp_path):
    def change(models):
        models["net-0"]["preprocessing"] = {"size_px": [32, 32]}
        models["net-1"]["preprocessing"] = {"size_px": [64, 64]}
        models["net-2"]["preprocessing"] = {"shortest_px": 1024}

    assert list(most_expensive_first(PAIRS, work(tmp_path, change), heat=False)) == [
        "net-2",
        "net-1",
        "net-0",
    ]
    kept = work(tmp_path, change, kept=["net-1"])
    # Twelve images of 64 x 64 cost less than 52 of 32 x 32.
    assert list(most_expensive_first(PAIRS, kept, heat=False)) == ["net-2", "net-0", "net-1"]
    # Heats look at images of the source as well.
    assert list(most_expensive_first(PAIRS, kept, heat=True)) == ["net-2", "net-1", "net-0"]


def test_equal_models_keep_their_order(tmp_path):
    found = most_expensive_first(PAIRS, work(tmp_path, dict.copy), heat=False)
    assert list(found) == ["net-0", "net-1", "net-2"]
