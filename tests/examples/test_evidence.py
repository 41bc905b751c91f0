"""The page of evidence is made from the tables beside it, and those are as large as it claims."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "docs/evidence"


@pytest.fixture
def evidence(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import evidence  # noqa: PLC0415 - found through the path above

    yield evidence
    for name in ("evidence", "evidence_figures", "evidence_tables", "short_fine_tunes"):
        sys.modules.pop(name)


def test_the_page_is_what_the_tables_say(evidence):
    assert evidence.PAGE.read_text() == evidence.page()


def test_figures_of_the_page_are_there():
    page = (ROOT / "docs/evidence.md").read_text()
    figures = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line[:2] == "!["]
    assert len(figures) == 3
    assert all((ROOT / "docs" / figure).stat().st_size > 1000 for figure in figures)


def test_the_study_is_as_large_as_it_claims():
    pairs, sources = 0, set()
    for study, n_domains in (("camvid", 8), ("retina", 4)):
        rows = pq.read_table(TABLES / f"{study}-truth.parquet").to_pylist()
        tuned = [row for row in rows if row["kind"] == "fine_tune"]
        found = {(row["source_model"], row["target_dataset"]) for row in tuned}
        assert {row["seed"] for row in tuned} == {0, 1}
        assert len(tuned) == 2 * len(found)
        assert len({target for _, target in found}) == n_domains
        scored = pq.read_table(TABLES / f"{study}-scores.parquet").to_pylist()
        assert {(row["source_model"], row["target_dataset"]) for row in scored} == found
        pairs += len(found)
        sources |= {model.split("-")[0] for model, _ in found}
    assert pairs >= 60
    assert len(sources) >= 3
