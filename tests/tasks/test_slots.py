"""Who leases a slot has it alone; idle ones help; lost ones are not used again."""

import threading

import pytest

from otce.errors import ClusterError, PlacementError
from tasks.slots import Slots


def test_a_slot_is_leased_to_one_and_makes_its_actor_once():
    made = []
    slots = Slots(1, lambda: made.append(object()) or made[-1])
    with slots.lease() as slot:
        assert slot.actor is slot.actor
    with slots.lease() as slot:
        assert slot.actor is made[0]
    assert len(made) == 1


def test_only_slots_that_no_model_needs_are_lent_as_idle():
    slots = Slots(4, object)
    with slots.lease():
        with slots.idle(9) as lent:
            assert len(lent) == 3
        slots.coming = 2
        with slots.idle(9) as lent:
            assert len(lent) == 1
        with slots.idle(0) as lent:
            assert not lent
        with slots.idle(-1) as lent:
            assert not lent
        slots.coming = 5
        with slots.idle(9) as lent:
            assert not lent
        slots.coming = 0
        with slots.idle(2) as lent, slots.lease() as other:
            assert other not in lent


def no_room():
    raise PlacementError("no node had room")


def use(slots, before=lambda: None):
    with slots.lease() as slot:
        before()
        return slot.actor


def test_a_slot_without_room_is_closed_and_the_last_one_ends_who_waits():
    slots = Slots(2, no_room)
    told = []

    def wait():
        try:
            use(slots)
        except ClusterError as error:
            told.append(str(error))

    waiting = threading.Thread(target=wait)
    with pytest.raises(PlacementError):
        use(slots)
    with pytest.raises(PlacementError):
        use(slots, before=waiting.start)
    waiting.join(60)
    wanted = "no node of the cluster has room for a feature actor any more; add nodes and repeat"
    assert told[0].startswith(wanted)
    with pytest.raises(ClusterError, match=wanted):
        use(slots)
