"""Make docs/evidence.md and its figures from the tables in docs/evidence/.

    python benchmarks/study.py       # the tables: an hour on two cores, resumes
    python benchmarks/evidence.py    # judges them and writes the page: minutes
    python benchmarks/evidence.py --written    # the page alone

Every number on the page is read from a table; the sentences around them are in evidence.md.j2.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cyclopts
import jinja2
import numpy as np
from evidence_figures import scatter, whiskers
from evidence_tables import HERE, STUDIES, Row, judge_all, read
from short_fine_tunes import NAME as SHORT

PAGE: Final = HERE.with_suffix(".md")
SHOWN: Final = (
    "weighted_tau",
    "tau",
    "pearson",
    "spearman",
    "rel_at_1",
    "regret_at_3",
    "best_in_top_3",
)
_CORES: Final = 2
_MAIN: Final = ("train sources", "transfer", "score", "OTCE alone", SHORT, "score and transfer")
"""Steps of the study itself, without its variations."""


def main(*, written: bool = False) -> None:
    """Judge the tables, then write figures and page.

    Args:
        written: the judged tables are there; write the page alone.
    """
    if not written:
        judge_all()
    scatter()
    whiskers()
    PAGE.write_text(page())


def page() -> str:
    """Write the page from the tables.

    Returns:
        Markdown.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown
    )
    agreement = read("agreement")
    return environment.get_template("evidence.md.j2").render(
        domains=domains(),
        agreed=Agreed(agreement),
        ablations=ablations(),
        base=base,
        varied=varied,
        costs=costs(),
        short=SHORT,
        transfers=transfers(),
        measures=SHOWN,
        n_metrics=len({row["metric"] for row in read("camvid-scores")}),
    )


class Agreed:
    """The judged scores, as the page asks for them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {
            (r["group"], r["truth"], r["predictor"], r["measure"], r["target_dataset"]): r
            for r in rows
        }

    def row(self, group: str, truth: str, predictor: str, measure: str = "weighted_tau") -> Row:
        """Get the mean over targets of one measure."""
        return self._rows[group, truth, predictor, measure, None]

    def predictors(self, group: str, truth: str) -> list[str]:
        """Name what was judged, the best first."""
        found = {p for g, t, p, *_ in self._rows if (g, t) == (group, truth)}
        return sorted(found, key=lambda p: (-(self.row(group, truth, p)["value"] or -2), p))

    def ceiling(self, group: str, truth: str) -> float:
        """Average over targets what one training seed says of the other."""
        found = {
            t: r["ceiling"]
            for (g, kind, p, m, t), r in self._rows.items()
            if (g, kind, p, m) == (group, truth, "otce", "weighted_tau") and t
        }
        return float(np.mean([c for c in found.values() if c is not None]))

    def text(self, group: str, truth: str, predictor: str) -> str:
        """Write the weighted tau with its interval."""
        row = self._rows.get((group, truth, predictor, "weighted_tau", None))
        if row is None or row["value"] is None:
            return "-"
        return f"{row['value']:.2f} [{row['low95']:.2f}, {row['high95']:.2f}]"

    def value(self, group: str, truth: str, predictor: str, measure: str = "weighted_tau") -> str:
        """Write the mean over targets alone."""
        row = self._rows.get((group, truth, predictor, measure, None))
        return "-" if row is None or row["value"] is None else f"{row['value']:.2f}"

    def difference(self, group: str, truth: str, predictor: str) -> str:
        """Write the difference to OTCE with its paired interval."""
        row = self.row(group, truth, predictor)
        if predictor == "otce" or row["difference_low95"] is None:
            return "-"
        low, high = row["difference_low95"], row["difference_high95"]
        return f"{row['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def base(truth: str) -> str:
    """Write what the variations are held to."""
    (row,) = (
        r
        for r in read("ablation-agreement")
        if (r["predictor"], r["measure"], r["truth"]) == ("otce", "weighted_tau", truth)
    )
    return f"{row['value']:.2f} [{row['low95']:.2f}, {row['high95']:.2f}]"


def varied(row: Row) -> str:
    """Write the weighted tau of a variation and its paired interval against the study's recipe."""
    if row["difference_low95"] is None:
        return f"{row['value']:.2f}"
    low, high = row["difference_low95"], row["difference_high95"]
    return f"{row['value']:.2f} [{low:+.2f}, {high:+.2f}]"


def ablations() -> dict[str, list[Row]]:
    """Arrange the variations: by what is varied, a row a setting, by kind of transfer."""
    found: dict[str, list[Row]] = {}
    rows = [r for r in read("ablation-agreement") if r["measure"] == "weighted_tau"]
    settings = dict.fromkeys(r["predictor"] for r in rows if ": " in r["predictor"])
    of = {(r["predictor"], r["truth"]): r for r in rows}
    for name in settings:
        ablation, _, setting = name.partition(": ")
        by_truth = {truth: r for (p, truth), r in of.items() if p == name}
        found.setdefault(ablation, []).append({"setting": setting, **by_truth})
    return found


def domains() -> list[Row]:
    """Describe every domain: its images, and how its class mix differs from the others'."""
    found = []
    for study in STUDIES:
        rows = read(f"{study}-domains")
        for row in rows:
            shares = np.array(row["shares"])
            apart = [np.abs(shares - np.array(r["shares"])).sum() / 2 for r in rows if r is not row]
            found.append(
                {"study": study, "domain": row["domain"], "images": row["images"]}
                | {"nearest": min(apart), "farthest": max(apart)}
            )
    return found


def transfers() -> list[Row]:
    """Average what transfers of each kind reached, by study."""
    found = []
    for study in (*STUDIES, "espnetv2"):
        values: dict[str, list[float]] = {}
        for row in read(f"{study}-truth"):
            values.setdefault(row["kind"], []).append(row["value"])
        found += [
            {"study": study, "kind": kind, "n": len(of), "mean": np.mean(of)}
            | {"low": min(of), "high": max(of)}
            for kind, of in values.items()
        ]
    return found


def costs() -> Row:
    """Sum up what scoring and transferring took, by study and by step."""
    seconds: dict[str, float] = json.loads((HERE / "seconds.json").read_text())
    main = {step: s for step, s in seconds.items() if step.split(": ")[1] in _MAIN}
    found: Row = {
        "main_steps": main,
        "minutes": sum(main.values()) / 60,
        "ablation_minutes": (sum(seconds.values()) - sum(main.values())) / 60,
    }
    for study in STUDIES:
        trained: dict[str, list[float]] = {}
        for row in read(f"{study}-costs"):
            trained.setdefault(row["kind"], []).append(row["cpu_s"])
        pairs = len(trained["zero_shot"])
        short = read(f"{study}-short-costs")
        found[study] = {
            "pairs": pairs,
            "all_s": _CORES * seconds[f"{study}: score"] / pairs,
            "otce_s": short[0]["otce_s"],
            "short_steps": short[0]["steps"],
            "short_s": float(np.mean([row["cpu_s"] for row in short])),
            "each_s": {kind: float(np.mean(values)) for kind, values in trained.items()},
        }
    return found


if __name__ == "__main__":
    cyclopts.run(main)
