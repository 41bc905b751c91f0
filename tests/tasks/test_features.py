"""Features that a round of a race held are not extracted again for the next."""

from types import SimpleNamespace

from tasks.features import features
from tasks.work import Wanted, Work
from tests.flows.test_entrants import config

WANTED = {"bay": Wanted({"otce": "n"}, {"otce": "s"}, {"otce": [range(1)]})}
SIDE = SimpleNamespace(source="port", classes=("a", "b"), weights_digest="ab" * 32, tap="head")


def work(held):
    return Work(
        config=config(),
        store=None,
        censuses={},
        heats={},
        sides={"near": SIDE},
        kept={},
        held=held,
        plan=None,
        # Nothing to lease: whoever would extract fails.
        slots=None,
        window=None,
        on_pair=None,
        cuts=None,
    )


def test_what_is_held_is_neither_read_nor_extracted():
    held = {("near", "port"): {0: ["source"]}, ("near", "bay"): {0: ["target"]}}
    found = list(features("near", WANTED, work(held), heat=False))
    assert found == [("port", {0: ["source"]}), ("bay", {0: ["target"]})]


def test_repetitions_are_asked_for_once_with_all_their_metrics():
    missing = {"otce": [range(2), range(3, 4)], "leep": [range(1, 2)]}
    assert Wanted({}, {}, missing).metrics_of == {0: ("otce",), 1: ("otce", "leep"), 3: ("otce",)}
