"""The correspondence of a joint, by hand and by its laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from otce.correspondence import correspondence
from otce.tables import JOINTS, table


def joints_of(*joints, names="abcdef"):
    return table(
        [
            dict.fromkeys(JOINTS.names)
            | {"repetition": k, "source_class": 10 + s, "source_class_name": f"source {names[s]}"}
            | {"target_class": t, "target_class_name": names[t], "probability": joint[s][t]}
            for k, joint in enumerate(joints)
            for s in range(len(joint))
            for t in range(len(joint[0]))
            if joint[s][t] > 0
        ],
        JOINTS,
    )


def test_by_hand():
    found = correspondence(joints_of([[0.5, 0.1], [0.0, 0.4]], [[0.3, 0.1], [0.2, 0.4]]))
    assert found.source_classes == ("source a", "source b")
    assert found.target_classes == ("a", "b")
    assert found.share == pytest.approx([0.5, 0.5])
    assert found.served == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert found.served_by(0) == [
        ("source a", pytest.approx(0.8)),
        ("source b", pytest.approx(0.2)),
    ]
    assert found.served_by(0, enough=0.75) == [("source a", pytest.approx(0.8))]
    first = -0.5 * np.log(0.5 / 0.6)
    second = -0.3 * np.log(0.3 / 0.4) - 0.2 * np.log(0.2 / 0.6)
    assert found.lost_nats[0] == pytest.approx((first + second) / 2)


def test_classes_that_were_never_drawn_are_left_out():
    joints = joints_of([[0.6, 0.4]])
    silent = joints.to_pylist()[0] | {
        "target_class": 7,
        "target_class_name": "z",
        "probability": 0.0,
    }
    found = correspondence(table([*joints.to_pylist(), silent], JOINTS))
    assert found.target_classes == ("a", "b")


def test_the_most_frequent_classes_keep_the_order_of_their_ids():
    found = correspondence(joints_of([[0.2, 0.0, 0.1], [0.0, 0.15, 0.0], [0.0, 0.05, 0.5]]))
    assert found.frequent_targets(2) == [0, 2]
    assert found.frequent_sources(2) == [0, 2]
    assert found.targets_by_cost()[0] == 2


@given(
    arrays.arrays(float, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(0.01, 1)),
)
def test_parts_add_up_to_the_conditional_entropy(joints):
    joints /= joints.sum(axis=(1, 2), keepdims=True)
    found = correspondence(joints_of(*joints))
    source = joints.sum(2, keepdims=True)
    assert found.lost_nats.sum() == pytest.approx(
        -(joints * np.log(joints / source)).sum((1, 2)).mean(), abs=1e-12
    )
    assert found.served.sum(1) == pytest.approx(1)
    assert found.share.sum() == pytest.approx(1)
