"""Tables of runs that never happened, and the pages rendered from them."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import get_args

import numpy as np

from otce import tables
from otce.fingerprint import digest
from otce.ranking import summarize
from otce.recipe import FROM_COUPLING, Metric
from otce.report.page import render

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg></style></title><b onmouseover='x'>",
    "{{ 1009 * 1000003 }}{% raw %}",
    "$\\frac{1}{$ %s & \x0b\x00\n名前",
    "x" * 300,
)
CONFUSED = np.array([[0.558, 0.02], [0.042, 0.38]])
"""P(Y_s, Y_t) of the classes road and grass: road is served by road with 0.558 / 0.6."""


def _images(model, entropy, digests, *, images=12):
    """Influences of images that do to all models of a data set much the same."""
    found = {}
    for role in ("target", "source"):
        key = int(digests[f"{role}_digest"], 16)
        alike = np.random.default_rng(key).normal(size=images)
        own = np.random.default_rng([key, int(digest(model.encode()), 16)]).normal(size=images)
        influence = 0.05 * entropy * (alike + 0.3 * own) / images
        found[f"{role}_items"] = list(range(images))
        found[f"{role}_influence"] = (influence - influence.mean()).tolist()
    return found


def scored(model, target, joint, *, repetitions=2, classes=("road", "grass"), **columns):
    """Rows of PAIR and JOINTS of a pair; later repetitions shift a little mass."""
    scores, joints = [], []
    digests = {
        f"{role}_digest": digest(id_.encode())
        for role, id_ in (("source", f"{model}-data"), ("target", target))
    }
    for repetition in range(repetitions):
        joint = joint + 1e-4 * repetition * np.array([[1, -1], [-1, 1]])
        entropy = -(joint * np.log(joint / joint.sum(1, keepdims=True))).sum()
        share = joint.sum(0)
        target_entropy = -(share * np.log(share)).sum()
        pair = {
            "pair_fingerprint": f"{model}/{target}",
            "source_model": model,
            "target_dataset": target,
            "repetition": repetition,
        }
        scores.append(
            dict.fromkeys(tables.PAIR.names)
            | pair
            | {"metric": "otce", "preset": "default", "source_dataset": f"{model}-data"}
            | {
                "otce": -entropy,
                "value": -entropy,
                "target_entropy": target_entropy,
                "n_iter": 100 + repetition,
            }
            | {
                "normalized": 1 - entropy / target_entropy,
                "marginal_error": 9e-4 / (repetition + 1),
            }
            | {"n_source_px": 1000, "n_target_px": 1000, "degenerate": "none"}
            | digests
            | (_images(model, entropy, digests) if repetition == 0 else {})
            | columns
        )
        joints += [
            pair
            | {
                "metric": "otce",
                "source_class": s,
                "source_class_name": classes[s],
                "probability": joint[s, t],
            }
            | {"target_class": t, "target_class_name": classes[t]}
            for s in range(2)
            for t in range(2)
        ]
    return scores, joints


def failure(model, target, **columns):
    return {
        "source_model": model,
        "target_dataset": target,
        "metric": None,
        "stage": "solve",
        "repetition": None,
        "error_class": "TransportError",
        "transient": False,
        "attempts": 1,
        "message": "marginal error 0.5 after 10 iterations; raise score.max_iterations",
    } | columns


def measured(pair, metric, value, **columns):
    """Rows of another metric for a pair of `scored`, from its OTCE; no joints."""
    rows, _ = pair
    return [
        row
        | {"metric": metric, "pair_fingerprint": f"{row['pair_fingerprint']}/{metric}"}
        | {"value": value(row["otce"]), "otce": None, "normalized": None}
        | {"target_entropy": None, "n_iter": None, "marginal_error": None}
        | columns
        for row in rows
    ], []


UNKNOWN_IMAGES = dict.fromkeys(
    ("target_items", "target_influence", "source_items", "source_influence")
)
SEES_NO_SOURCE = {"source_items": [], "source_influence": []}


def risks(pair, cuts):
    """Rows of RISKS of a pair, from shares and weights of each part by cut."""
    row = pair[0][0]
    lost = -sum(r["otce"] for r in pair[0]) / len(pair[0])
    same = {name: row[name] for name in ("pair_fingerprint", "source_model", "target_dataset")}
    return [
        same | {"cut": cut, "key": key, "name": name, "share": share, "risk": lost * weight}
        for cut, parts in cuts.items()
        for key, (name, share, weight) in enumerate(parts)
    ]


def page(*pairs, failures=(), risks=None, race=None, drift=None, overlays=(), **manifest):
    rows = [row for rows, _ in pairs for row in rows]
    return render(
        manifest=manifest,
        scores=tables.table(rows, tables.SCORES),
        summary=summarize(tables.table(rows, tables.PAIR)),
        joints=tables.table([row for _, rows in pairs for row in rows], tables.JOINTS),
        failures=tables.table(list(failures), tables.FAILURES),
        risks=None if risks is None else tables.table(risks, tables.RISKS),
        race=None if race is None else tables.table(race, tables.RACE),
        drift=drift,
        overlays=overlays,
    )


def text_of(html):
    body = re.sub(r"<(style|svg).*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"</?(?:b|span|a)\b[^>]*>", "", body)))


def blurred(joint, amount):
    return (1 - amount) * joint + amount * np.outer(joint.sum(1), joint.sum(0))


def street_run(models=3, targets=("bay",), repetitions=3, columns=None, **manifest):
    return page(
        *(
            scored(
                f"model-{m:02d}",
                target,
                blurred(CONFUSED, m / (models + 2)),
                repetitions=repetitions,
                **(columns or {}),
            )
            for target in targets
            for m in range(models)
        ),
        **manifest,
    )


def curved(pair, curve, **columns):
    """A pair of `scored` whose first draw has a curve, as OTCE minus its score at epsilon 0.1."""
    scores, joints = pair
    lists = {
        "curve_epsilon": list(curve),
        "curve_otce": [scores[0]["otce"] + shift for shift in curve.values()],
    }
    first = scores[0] | lists | columns
    others = [row | {"curve_epsilon": [], "curve_otce": []} for row in scores[1:]]
    return [row | {"epsilon": 0.1} for row in (first, *others)], joints


def whole_run(n_models, targets, *, images=30, **rest):
    """A page with all metrics and the risks of all cuts."""
    pairs, parts = [], []
    for place, target in enumerate(targets):
        for m in range(n_models):
            pair = scored(f"model-{m:03d}", target, blurred(CONFUSED, (m + 1) / (n_models + 2)))
            pairs.append(pair)
            for n, metric in enumerate(get_args(Metric)[1:], start=1):
                seen = {} if metric in FROM_COUPLING else SEES_NO_SOURCE
                tilt = 0.6 * np.sin(m * n + place)
                pairs.append(measured(pair, metric, lambda otce, t=tilt: 3 * otce + t, **seen))
            parts += risks(pair, drawn_cuts(images))
    return page(*pairs, risks=parts, **rest)


def drawn_cuts(images):
    weights = np.arange(1, images + 1) / sum(range(1, images + 1))
    return {
        "boundary": [("boundary", 0.2, 0.6), ("interior", 0.8, 0.4)],
        "frequency": [("frequent", 0.9, 0.3), ("rare", 0.1, 0.7)],
        "class": [("road", 0.6, 0.5), ("grass", 0.4, 0.5)],
        "image": [(f"image-{n:03d}", 1 / images, w) for n, w in enumerate(weights.tolist())],
    }


def verdict(number, model, decision, **columns):
    """A row of RACE for the target bay."""
    return {
        "target_dataset": "bay",
        "metric": "otce",
        "round": number,
        "phase": "finals",
        "source_model": model,
        "repetitions": 2 * (number + 1),
        "mean": -0.5,
        "bound": -0.4,
        "threshold": -0.3,
        "decision": decision,
        "reason": "may be among the best 2",
        "work": 2.0 * (number + 1),
    } | columns


class Tags(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, html):
        super().__init__()
        self.found, self.attributes, self.ids, self.anchors = set(), set(), [], set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.anchors |= {value[1:] for name, value in attrs if name == "href" and value[:1] == "#"}


def cells(html, label):
    """The rows of the table of which a region is labelled, as texts."""
    region = html[html.index(f'aria-label="{label}"') :]
    region = region[: region.index("</table>")]
    rows = re.findall(r"<tr.*?</tr>", region, flags=re.DOTALL)
    return [
        [
            text_of(re.sub(r"<small>", " ", cell)).replace("</small>", "").strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)
        ]
        for row in rows
    ]
