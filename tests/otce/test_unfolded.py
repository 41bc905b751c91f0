"""Unfolded lists are what a loop over rows gives, without an object a row."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from otce.explain import BOUNDARIES, FREQUENCIES
from otce.tables import JOINTS, PAIR, RISKS
from otce.unfolded import joints, risks

CLASSES = {
    "near": ["road", "sky", "tree"],
    "far": ["lane", "cloud"],
    "bay": ["water", "quay"],
    "cove": ["sand", "rock", "water"],
}
ITEMS = {"bay": ["b-0", "b-1"], "cove": ["c-0", "c-1", "c-2"]}
WORDS = {"boundary": BOUNDARIES, "frequency": FREQUENCIES}


@st.composite
def pairs(draw):
    """Rows of some classes each; other metrics have no parts, those without coupling no joint."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        model, target = (
            draw(st.sampled_from(["near", "far"])),
            draw(st.sampled_from(["bay", "cove"])),
        )
        metric = draw(st.sampled_from(["otce", "otce_robust", "logme"]))
        sides = {
            f"{side}_classes": sorted(
                draw(st.sets(st.integers(0, len(CLASSES[id_]) - 1), min_size=1))
            )
            for side, id_ in (("source", model), ("target", target))
        }
        size = len(sides["source_classes"]) * len(sides["target_classes"])
        cuts = {"class": CLASSES[target], "image": ITEMS[target], **WORDS}
        parts = [
            {"cut": cut, "key": key, "share": generator.random(), "risk": generator.random()}
            for cut, names in cuts.items()
            for key in sorted(draw(st.sets(st.integers(0, len(names) - 1))))
        ]
        rows.append(
            dict.fromkeys(PAIR.names)
            | {"source_model": model, "target_dataset": target, "metric": metric, "repetition": 0}
            | {"parts": parts if metric == "otce" else []}
            | ({} if metric == "logme" else sides | {"joint": generator.random(size).tolist()})
        )
    return rows


@given(pairs())
def test_joints_name_every_entry(rows):
    wanted = [
        {name: row[name] for name in (*JOINTS.names[:4], "metric")}
        | {"source_class": s, "source_class_name": CLASSES[row["source_model"]][s]}
        | {"target_class": t, "target_class_name": CLASSES[row["target_dataset"]][t]}
        | {"probability": row["joint"][i * len(row["target_classes"]) + j]}
        for row in rows
        if row["joint"] is not None
        for i, s in enumerate(row["source_classes"])
        for j, t in enumerate(row["target_classes"])
    ]
    found = joints(pa.Table.from_pylist(rows, PAIR), CLASSES, CLASSES)
    assert found.schema.equals(JOINTS, check_metadata=True)
    assert found.to_pylist() == pa.Table.from_pylist(wanted, JOINTS).to_pylist()


@given(pairs())
def test_risks_name_every_part(rows):
    wanted = [
        {name: row[name] for name in RISKS.names[:3]}
        | part
        | {
            "name": {
                "class": CLASSES[row["target_dataset"]],
                "image": ITEMS[row["target_dataset"]],
                **WORDS,
            }[part["cut"]][part["key"]]
        }
        for row in rows
        if row["metric"] == "otce"
        for part in row["parts"]
    ]
    found = risks(pa.Table.from_pylist(rows, PAIR), CLASSES, ITEMS)
    assert found.schema.equals(RISKS, check_metadata=True)
    assert found.to_pylist() == pa.Table.from_pylist(wanted, RISKS).to_pylist()
