"""`otce ls` and `otce report`: what is in a store, and a run's ranking and page from its tables."""

import json
from typing import Any

from rich.console import Console

from flows.compute import compute_beside
from flows.judged import judged, show_judged
from flows.kept_maps import kept_overlays
from flows.show import show_failures, show_ranking, show_runs
from otce import tables
from otce.drift import DRIFT
from otce.errors import StoreError
from otce.report.page import render
from otce.storage.files import absolute_uri
from otce.storage.store import Store
from otce.timing_table import TIMINGS


def ls(store: str) -> int:
    """List the runs of a store, the newest last.

    Args:
        store: path or fsspec URI of the store.
    """
    show_runs(Console(), _manifests(store))
    return 0


def report(
    store: str,
    run_id: str | None = None,
    *,
    truth: str | None = None,
    baselines: str | None = None,
) -> int:
    """Print a run's ranking and write its report anew from its tables.

    Args:
        store: path or fsspec URI of the store.
        run_id: which run; the newest when left out.
        truth: table of measured transfer (CSV or Parquet: model, target, value; also seed, kind,
            shots), a path or any fsspec URI: says how well every score predicted it.
        baselines: table of what else is to be judged by it (baseline, model, value; also target).
    """
    console = Console()
    manifests = _manifests(store)
    chosen = next((m for m in reversed(manifests) if run_id in (None, m["run_id"])), None)
    if chosen is None:
        known = ", ".join(m["run_id"] for m in manifests) or "none"
        raise StoreError(f"{store} has no run {run_id or 'at all'}; runs there: {known}")
    opened, folder = Store(absolute_uri(store, ".")), f"runs/{chosen['run_id']}"
    schemas = {
        "scores": tables.SCORES,
        "summary": tables.SUMMARY,
        "joints": tables.JOINTS,
        "failures": tables.FAILURES,
    }
    found = {n: opened.get_table(f"{folder}/{n}.parquet", s) for n, s in schemas.items()}
    # Older runs have neither risks nor timings, and most no race and no run before them.
    later = {"risks": tables.RISKS, "race": tables.RACE, "timings": TIMINGS, "drift": DRIFT}
    for name, schema in later.items():
        if opened.exists(f"{folder}/{name}.parquet"):
            found[name] = opened.get_table(f"{folder}/{name}.parquet", schema)
    agreement = judged(opened, folder, found["summary"], truth, baselines)
    overlays = kept_overlays(opened, folder)
    page = render(manifest=chosen, agreement=agreement, overlays=overlays, **found)
    opened.put(f"{folder}/report.html", page.encode())
    show_ranking(console, found["summary"])
    show_judged(console, agreement)
    compute = compute_beside(opened, folder, absolute_uri(truth, ".")) if truth else None
    if compute:
        console.print(str(compute), highlight=False, soft_wrap=True)
    show_failures(console, found["failures"].to_pylist())
    console.print(f"report: {opened.uri}/{folder}/report.html", soft_wrap=True, highlight=False)
    return 0


def _manifests(store: str) -> list[dict[str, Any]]:
    opened = Store(absolute_uri(store, "."))
    keys = [key for key in opened.names("runs") if key.endswith("/manifest.json")]
    manifests = [json.loads(opened.get(f"runs/{key}")) for key in keys]
    return sorted(manifests, key=lambda manifest: (manifest["finished"], manifest["run_id"]))
