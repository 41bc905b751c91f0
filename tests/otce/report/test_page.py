"""The page says what the tables say, needs nothing else, and treats every text as data."""

import re
from html import unescape

import matplotlib as mpl
import pytest

from otce.report.metrics import MOST_MODELS
from tests.drawn_runs import (
    CONFUSED,
    HOSTILE,
    UNKNOWN_IMAGES,
    Tags,
    blurred,
    failure,
    measured,
    page,
    risks,
    scored,
    street_run,
    text_of,
    verdict,
    whole_run,
)


def test_equal_tables_give_equal_bytes_whatever_matplotlib_is_set_to():
    expected = street_run(targets=("bay", "avon"))
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "text.parse_math": True}):
        assert street_run(targets=("bay", "avon")) == expected


def test_matplotlib_is_left_as_it_was():
    before = dict(mpl.rcParams)
    street_run()
    assert dict(mpl.rcParams) == before


def test_the_page_needs_neither_network_nor_script():
    html = street_run(targets=("bay", "avon"), run_id="zoo-1")
    assert "http" not in html
    assert "<script" not in html
    assert "@import" not in html
    assert {"link", "style", "svg", "table"} <= Tags(html).found
    assert 'href="data:,"' in html


def test_anchors_lead_somewhere_and_ids_are_unique():
    """Figures share the page's ids: a clip path of one must not cut another."""
    tags = Tags(street_run(targets=("bay", "avon", "cove")))
    assert len(tags.ids) == len(set(tags.ids))
    assert tags.anchors <= set(tags.ids)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_shown_and_not_obeyed(hostile):
    pairs = [
        scored(f"{hostile} {number}", target, joint, classes=(hostile, "grass"))
        for number, joint in enumerate((CONFUSED, blurred(CONFUSED, 0.4)))
        for target in (f"t {hostile}", "bay")
    ]
    pairs += [measured(pair, hostile, lambda otce: 2 * otce) for pair in pairs]
    part = risks(pairs[0], {"image": [(hostile, 0.5, 0.9)], "boundary": [(hostile, 0.5, 0.9)]})
    about = {"items": 3, "classes": [hostile], "digest": hostile, "notes": [hostile]}
    html = page(
        *pairs,
        failures=[failure(hostile, hostile, message=hostile, error_class=hostile)],
        risks=part,
        race=[verdict(0, hostile, "leaves", target_dataset=hostile, reason=hostile)],
        run_id=hostile,
        command=["otce", "run", hostile],
        datasets={hostile: about},
        models={hostile: {"source": hostile, "reference": hostile}},
        versions={hostile: hostile},
        score={"feature_scaling": hostile},
    )
    tags = Tags(html)
    assert not tags.found & {"script", "img", "iframe", "object"}
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "1009003027" not in html
    assert unescape(html).count(hostile) > 10


def test_the_verdict_names_the_model_to_start_with():
    text = text_of(
        page(
            scored("unet-avon", "bay", CONFUSED),
            scored("unet-night", "bay", blurred(CONFUSED, 0.9)),
        )
    )
    assert re.search(r"For bay, start with unet-avon: OTCE -0\.2\d+ ± 0\.0\d+ nats", text)
    assert "better than the other model beyond doubt" in text


def test_the_verdict_names_ties_and_models_without_a_rank():
    text = text_of(
        page(
            scored("a", "bay", CONFUSED),
            scored("b", "bay", CONFUSED),
            scored("small", "bay", CONFUSED, n_source_px=650),
        )
    )
    assert "tied with b (1 model without a rank)." in text
    assert "not ranked: 650 source pixels, the others 1,000" in text
    assert "set sampling.pixels to 650 or less" in text.replace("<code>", "").replace("</code>", "")


def test_a_single_draw_of_unknown_images_claims_no_interval():
    text = text_of(street_run(repetitions=1, columns=UNKNOWN_IMAGES))
    assert "nats (one draw, so no interval); better than the other 2." in text
    assert "with 95 % intervals" not in text


def test_only_degenerate_pairs_give_no_verdict():
    text = text_of(page(scored("a", "bay", CONFUSED, degenerate="target")))
    assert "For bay, no model could be ranked" in text
    assert "not ranked: its target pixels have a single class" in text


def test_the_correspondence_says_who_serves_whom():
    text = text_of(page(scored("unet", "bay", CONFUSED, repetitions=1)))
    assert "target road is served by source road 93 %" in text
    assert "target grass is served by source grass 95 %" in text
    confused = CONFUSED[::-1].copy()
    text = text_of(page(scored("unet", "bay", confused, repetitions=1)))
    assert "target road is served by source grass 93 %" in text


def test_best_and_worst_are_explained():
    html = street_run(models=4)
    assert re.findall(r'class="role (\w+)">.*?</span> (\S+)', html) == [
        ("best", "model-00"),
        ("worst", "model-03"),
    ]


def test_failures_are_shown_before_the_rankings():
    html = page(
        scored("unet", "bay", CONFUSED),
        failures=[failure("unet", "avon"), failure("hrnet", "bay", repetition=3, transient=True)],
    )
    text = text_of(html)
    assert "2 failures" in text
    assert "raise score.max_iterations" in text
    assert html.index('id="failures"') < html.index('id="target-1"')
    assert "For avon, nothing could be scored" in text


def test_long_failures_are_complete():
    html = page(failures=[failure(f"model-{n}", "bay") for n in range(35)])
    assert all(f">model-{n}<" in html for n in range(35))
    assert "25 more" in html


def test_one_target_has_no_overview_and_many_have_one():
    assert "on all targets" not in street_run()
    html = street_run(targets=[f"target-{n}" for n in range(12)])
    assert "OTCE on all targets" in html
    assert len(re.findall(r'<section id="target-\d+"', html)) == 12


def test_the_overview_tells_own_data_from_failures():
    own = scored("unet", "avon", CONFUSED, source_dataset="bay")
    other = scored("hrnet", "bay", CONFUSED, source_dataset="gta")
    html = page(own, other, failures=[failure("hrnet", "avon")])
    overview = html[html.index('id="overview"') :]
    assert ">own data<" in overview
    assert ">failed<" in overview


def test_a_run_without_scores_renders():
    assert "This run has neither scores nor failures." in page()
    text = text_of(page(failures=[failure("unet", "bay"), failure(None, None)]))
    assert "For bay, nothing could be scored; see the failures." in text


def test_sixty_models_are_all_in_the_tables():
    html = street_run(models=60, repetitions=2)
    assert all(f'<th scope="row">model-{number:02d}<' in html for number in range(60))
    assert f"The first {MOST_MODELS} of 60 models" in html
    heights = [int(float(height)) for height in re.findall(r'<svg [^>]*height="([\d.]+)"', html)]
    assert max(heights) < 1800


def test_convergence_is_told_against_the_tolerance():
    text = text_of(street_run(score={"tolerance": 1e-3, "max_iterations": 20_000}))
    assert "converged to the tolerance of 1e-3. Worst marginal error: 9.0e-4" in text
    assert "Most iterations: 102 of at most 20,000" in text
    assert "without iterations" in text_of(page(scored("unet", "bay", CONFUSED, n_iter=0)))


def test_provenance_is_complete_and_missing_keys_are_left_out():
    manifest = {
        "run_id": "zoo-1",
        "fingerprint": "f" * 32,
        "otce_version": "0.1.0",
        "started": "2026-05-04T09:12:31+00:00",
        "command": ["otce", "run", "my zoo.yaml"],
        "versions": {"torch": "2.13.0"},
        "seed": 0,
        "sampling": {"pixels": 1000, "repetitions": 3, "too_few_pixels": "refuse"},
        "score": {"epsilon": 0.1},
        "pairs": {"total": 4, "computed": 1, "reused": 2, "failed": 1},
        "datasets": {
            "bay": {"digest": "d" * 64, "items": 24, "classes": ["road"], "class_px": [7]}
            | {"labelled_px": 7}
        },
        "models": {"unet": {"weights_digest": "w" * 64, "preprocessing": {"mean": [0.5]}}},
    }
    text = text_of(page(scored("unet", "bay", CONFUSED), **manifest))
    for fact in (
        "zoo-1",
        "f" * 32,
        "d" * 64,
        "w" * 64,
        "2.13.0",
        "otce run 'my zoo.yaml'",
        "24 images",
    ):
        assert fact in text
    assert "finished" not in text
    for key in manifest:
        rest = {name: value for name, value in manifest.items() if name != key}
        assert "start with <b>unet</b>" in page(scored("unet", "bay", CONFUSED), **rest)


def test_one_section_a_target_however_many_metrics():
    html = whole_run(4, ["bay", "avon"])
    assert re.findall(r'<section id="(target-\d+)"', html) == ["target-1", "target-2"]
    assert html.count('class="verdict"') == 2
    tags = Tags(html)
    assert len(tags.ids) == len(set(tags.ids))
    assert tags.anchors <= set(tags.ids)
    assert "OTCE on all targets" in html
    assert "logme on all targets" not in html


def test_the_verdict_says_how_many_models_to_fine_tune():
    near = [scored(f"m-{n}", "bay", blurred(CONFUSED, n / 300)) for n in range(3)]
    far = scored("far", "bay", blurred(CONFUSED, 0.9))
    assert re.search(
        r"Fine-tune these 2: m-0, m-1; one of them has the best OTCE with probability "
        r"(9\d|> 99) %",
        text_of(page(*near, far)),
    )
    text = text_of(page(scored("best", "bay", CONFUSED), far))
    assert "Fine-tuning this one is enough: it has the best OTCE with probability > 99 %" in text
    unknown = text_of(page(*(scored(m, "bay", CONFUSED, **UNKNOWN_IMAGES) for m in "ab")))
    assert "Fine-tun" not in unknown[: unknown.index("How to read")]


def test_the_best_of_a_column_is_marked_once_where_many_are_tied():
    html = page(
        *(p for m in "abc" for p in [scored(m, "bay", CONFUSED)]),
        *(measured(scored(m, "bay", CONFUSED), "nce", lambda otce: otce) for m in "abc"),
    )
    assert html.count('class="n best"') == 2


def test_a_page_of_sixteen_metrics_stays_small():
    assert len(whole_run(8, ["bay", "avon"]).encode()) < 1_500_000
