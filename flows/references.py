"""Which objects of the store a run refers to."""

import pyarrow as pa

from flows.pairs import Pair, Prepared
from flows.repetitions import stems
from otce.config import RunConfig
from otce.identity import (
    count_fingerprint,
    heat_sample_fingerprint,
    sample_fingerprint,
    signature_fingerprint,
)
from otce.recipe import Metric
from otce.storage.retention import REFERENCES
from otce.tables import table
from tasks.work import Names


def references(config: RunConfig, found: Prepared) -> pa.Table:
    """List what a run reads or writes, whether it is there or not.

    Args:
        config: the run.
        found: what is known of it.

    Returns:
        A table of `otce.storage.retention.REFERENCES`, sorted.
    """
    races = config.strategy == "race"
    rows = [_row("counts", count_fingerprint(data.digest)) for data in found.listed.values()]
    for data in found.listed.values():
        rows.append(_row("samples", sample_fingerprint(config, data.digest)))
        if races:
            rows.append(_row("samples", heat_sample_fingerprint(config, data.digest)))
    rows += [_row("features", signature_fingerprint(s), (m, None)) for m, s in found.sides.items()]
    for pair, names in found.names.items():
        rows += _of_pair("scores", pair, names)
        # Without a race, repetitions are kept whole from the beginning.
        if races:
            rows += _of_pair("repetitions", pair, stems(config, found, pair))
            rows += _of_pair("repetitions", pair, stems(config, found, pair, heat=True))
    unique = {tuple(row.values()): row for row in rows}
    return table(
        sorted(unique.values(), key=lambda row: [v or "" for v in row.values()]), REFERENCES
    )


def names_by_pair(references_: pa.Table) -> dict[Pair, dict[Metric, str]]:
    """Read back which scores a run referred to.

    Args:
        references_: of schema `otce.storage.retention.REFERENCES`.

    Returns:
        Fingerprints by pair and metric.
    """
    found: dict[Pair, dict[Metric, str]] = {}
    for row in references_.to_pylist():
        if row["folder"] == "scores":
            pair = row["source_model"], row["target_dataset"]
            found.setdefault(pair, {})[row["metric"]] = row["fingerprint"]
    return found


def _of_pair(folder: str, pair: Pair, names: Names) -> list[dict[str, str | None]]:
    return [_row(folder, name, pair, metric) for metric, name in names.items()]


def _row(
    folder: str,
    name: str,
    pair: tuple[str | None, str | None] = (None, None),
    metric: str | None = None,
) -> dict[str, str | None]:
    values = (folder, name, *pair, metric)
    return dict(zip(REFERENCES.names, values, strict=True))
