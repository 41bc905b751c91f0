"""Idle slots help with the shards of one data set, and change no byte."""

from collections import Counter
from threading import Barrier

import ray

from otce.config_file import load_config
from tasks.actor import actor_maker
from tasks.extract import ModelOnSlot
from tasks.shards import Cuts
from tasks.slots import Slots
from tasks.spread import spread
from tasks.sums import NO_SUMS
from tests.tasks.test_extract import REPETITIONS, take
from tests.zoo import write_zoo, zoo_config


def test_idle_slots_help_with_shards_and_bytes_stay(ray_plan, tmp_path):
    """Each slot's first shard waits for the other slot's, so that both have one."""
    config = load_config(str(write_zoo(tmp_path, zoo_config())))
    census, used = take(config), Counter()
    slots = Slots(2, actor_maker(ray_plan, config.execution))

    def features(workers, items_per_shard):
        used.clear()
        together = Barrier(workers, timeout=240)

        class Counted(ModelOnSlot):
            def _start(self, *args, **kwargs):
                used[self._slot] += 1
                if used[self._slot] == 1:
                    together.wait()
                return super()._start(*args, **kwargs)

        def on(slot):
            return Counted(slot, "net-0", config.models["net-0"], config.execution, threads=1)

        with slots.lease() as slot:
            found = spread(
                on(slot),
                on,
                slots,
                Cuts(items_per_shard).of(census, REPETITIONS),
                REPETITIONS,
                with_logits=False,
                sums=NO_SUMS,
            )
            return {k: ray.get(refs) for k, refs in found.items()}

    # Three shards of two images are enough for one slot only, six of one image for two.
    alone = features(1, items_per_shard=2)
    assert list(used.values()) == [3]
    helped = features(2, items_per_shard=1)
    assert len(used) == 2
    assert sum(used.values()) == 6
    for k in REPETITIONS:
        for column in (0, 1, 2):
            one, other = (
                b"".join(part[column].tobytes() for part in parts[k]) for parts in (alone, helped)
            )
            assert one == other
