"""Lists within the tables of pairs, unfolded to one row an entry: joints and risks.

A large run has millions of entries, so columns are made whole and no row is ever an object.

Legend: `R` rows of pairs, `E` entries of all of them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from otce.explain import BOUNDARIES, FREQUENCIES
from otce.tables import JOINTS, RISKS

Names = Mapping[str, Sequence[str]]
_Positions = NDArray[np.int64]


def joints(full: pa.Table, source_classes: Names, target_classes: Names) -> pa.Table:
    """Unfold the joint distributions of couplings.

    Args:
        full: rows of `otce.tables.PAIR`.
        source_classes: class names of the source side, by model id.
        target_classes: class names by data set id.

    Returns:
        `otce.tables.JOINTS`, in the order of `full`, source classes before target classes.
    """
    pairs = full.filter(pc.is_valid(full["joint"])).combine_chunks()
    n_source_R, n_target_R = (_lengths(pairs[f"{side}_classes"]) for side in ("source", "target"))
    row_E, place_E = _entries(n_source_R * n_target_R)
    source_E = _taken(pairs["source_classes"], n_source_R, row_E, place_E // n_target_R[row_E])
    target_E = _taken(pairs["target_classes"], n_target_R, row_E, place_E % n_target_R[row_E])
    own = {
        "source_class": source_E,
        "source_class_name": _named(pairs["source_model"], source_classes, row_E, source_E),
        "target_class": target_E,
        "target_class_name": _named(pairs["target_dataset"], target_classes, row_E, target_E),
        "probability": pc.list_flatten(pairs["joint"]),
    }
    return _table(pairs, row_E, own, JOINTS)


def risks(full: pa.Table, target_classes: Names, target_items: Names) -> pa.Table:
    """Unfold what parts of the target pixels cost by `otce`.

    Args:
        full: rows of `otce.tables.PAIR`.
        target_classes: class names by data set id.
        target_items: ids of the images by data set id.

    Returns:
        `otce.tables.RISKS`, in the order of `full`.
    """
    pairs = full.filter(pc.equal(full["metric"], "otce")).combine_chunks()
    row_E, _ = _entries(_lengths(pairs["parts"]))
    parts = pc.list_flatten(pairs["parts"]).combine_chunks()
    cut_E, key_E = parts.field("cut"), parts.field("key").to_numpy(zero_copy_only=False)
    alike = dict.fromkeys(target_classes, ())
    names_E = np.empty(len(row_E), object)
    for cut, names in {
        "class": target_classes,
        "image": target_items,
        "boundary": dict.fromkeys(alike, BOUNDARIES),
        "frequency": dict.fromkeys(alike, FREQUENCIES),
    }.items():
        of_cut_E = pc.equal(cut_E, cut).to_numpy(zero_copy_only=False)
        named = _named(pairs["target_dataset"], names, row_E[of_cut_E], key_E[of_cut_E])
        names_E[of_cut_E] = named.to_numpy(zero_copy_only=False)
    own = {name: parts.field(name) for name in ("cut", "key", "share", "risk")}
    return _table(pairs, row_E, own | {"name": pa.array(names_E, pa.string())}, RISKS)


def _lengths(lists: pa.ChunkedArray) -> _Positions:
    found: _Positions = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    return found


def _entries(counts_R: _Positions) -> tuple[_Positions, _Positions]:
    """Give the row of each entry, and its place among those of the row."""
    row_E = np.repeat(np.arange(len(counts_R)), counts_R)
    return row_E, np.arange(len(row_E)) - (np.cumsum(counts_R) - counts_R)[row_E]


def _taken(
    lists: pa.ChunkedArray, lengths_R: _Positions, row_E: _Positions, place_E: _Positions
) -> _Positions:
    starts_R = np.cumsum(lengths_R) - lengths_R
    flat = pc.list_flatten(lists).to_numpy().astype(np.int64)
    found: _Positions = flat[starts_R[row_E] + place_E]
    return found


def _named(ids: pa.ChunkedArray, names: Names, row_E: _Positions, key_E: _Positions) -> pa.Array:
    """Look up the name of a class (or an image) of a model (or a data set)."""
    coded = pc.dictionary_encode(ids).combine_chunks()
    known = coded.dictionary.to_pylist()
    starts = np.cumsum([0, *(len(names[id_]) for id_ in known)])
    flat = pa.array([name for id_ in known for name in names[id_]], pa.string())
    code_R = coded.indices.to_numpy(zero_copy_only=False)
    return flat.take(pa.array(starts[code_R[row_E]] + key_E))


def _table(
    pairs: pa.Table, row_E: _Positions, own: Mapping[str, object], schema: pa.Schema
) -> pa.Table:
    row = pa.array(row_E)
    columns = [own[name] if name in own else pairs[name].take(row) for name in schema.names]
    return pa.table(columns, names=schema.names).cast(schema).combine_chunks()
