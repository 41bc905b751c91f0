"""Every problem of a configuration is told at once, with its place and a way out."""

from pathlib import Path

import pytest

from otce.config_file import load_config
from otce.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = """
datasets:
  city: {layout: "folder:data/city", images: "i/*.png", labels: "l/*.png", classes: [road, sky]}
  town: {layout: "scenes:birch"}
targets: [town]
models:
  net:
    reference: python:nets:net
    weights: weights/net.safetensors
    source: city
"""
MANY = """\
datasets:
  city:
    layout: folder:data
    images: i/*.png
    labels: l/*.png
    classes: [road, sky]
    ignored: [255]
    label_map: {7: 0, 8: 5, 70000: 1}
  town: {layout: "scenes:birch", count: 0}
  town: {layout: "scenes:birch"}
targets: [town, twn, town]
models:
  net:
    reference: nets.net
    weights: w.safetensors
    source: citty
    tap: head
    tap: logits
    preprocessing:
      std: [0.2, 0.0, 0.2]
      mean: [0.5, 0.5]
score:
  epsilon: -0.1
  feature_scaling: standardise
samplng: {}
"""


def written(folder, text, name="run.yaml"):
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def problems(folder, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, text), overrides)
    title, *lines = str(caught.value).split("\n  ")
    assert f"{folder}/run.yaml has {len(lines)} problem{'s' * (len(lines) > 1)}" in title
    return lines


def test_a_good_configuration_has_no_problems(tmp_path):
    config = load_config(written(tmp_path, GOOD))
    assert config.pairs == (("net", "town"),)


def test_all_problems_are_told_together_with_line_and_column(tmp_path):
    found = problems(tmp_path, MANY)
    expected = [
        "line 7, column 5: datasets.city.ignored: unknown key; did you mean ignore",
        "line 8, column 29: datasets.city.label_map.70000: input should be",
        "line 10, column 3: datasets.town: duplicate key",
        "line 11, column 1: targets: 'town' is listed twice",
        "line 11, column 17: targets.1: no data set has the id 'twn'; did you mean town?",
        "line 14, column 5: models.net.reference: nets.net is no model reference; write one of",
        "line 16, column 5: models.net.source: no data set has the id 'citty'; did you mean city?",
        "line 18, column 5: models.net.tap: duplicate key",
        "line 20, column 18: models.net.preprocessing.std.1: input should be greater than 0",
        "line 21, column 7: models.net.preprocessing.mean.2: is missing",
        "line 23, column 3: score.epsilon: input should be greater than 0, found -0.1",
        "line 24, column 3: score.feature_scaling: input should be 'standardize', 'softmax'",
        "line 25, column 1: samplng: unknown key; did you mean sampling",
    ]
    for start in expected:
        [line] = [line for line in found if line.startswith(start)]
        found.remove(line)
    assert found == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[road, sky]", "[]", "datasets.city.classes: tuple should have at least 1 item"),
        ("i/*.png", "i/a.png", "datasets.city.images: string should match pattern"),
        ("i/*.png", "*/*.png", "datasets.city.images: string should match pattern"),
        ("i/*.png", "../i/*.png", "datasets.city.images: ../i/*.png is not below the root"),
        ("l/*.png", "l/../../x/*.png", "datasets.city.labels: l/../../x/*.png is not below"),
        ("i/*.png", "/i/*.png", "datasets.city.images: /i/*.png is not below the root"),
        ("classes:", "items: ../list.txt, classes:", "datasets.city.items: ../list.txt is not"),
        ("scenes:birch", "kitti:x", "datasets.town: no layout is called so; there are folder:"),
        ("scenes:birch", "cityscapes:", "datasets.town.layout: string should match pattern"),
        ("classes:", "label_map: {7: 0}, ignore: [0, 255], classes:", "label_map: maps to classes"),
        (
            "scenes:birch",
            'camvid:x", sequences: [../y], by: "sequence',
            "datasets.town.sequences.0: string should",
        ),
        ("scenes:birch", "voc:x", "datasets.town: give either split or items"),
        ("scenes:birch", 'gta5:x", split: train, items: "a', "datasets.town: give either split or"),
        ("scenes:birch", 'cityscapes:x", citys: "a', "citys: unknown key; did you mean cities"),
        ("scenes:birch", "scenes:", "datasets.town.layout: string should match pattern"),
        ("targets: [town]", "targets: []", "targets: tuple should have at least 1 item"),
        ("targets: [town]", "targets: town", "targets: input should be a valid tuple"),
        ("targets: [town]", "targets: [[town]]", "targets.0: input should be a valid string"),
        ("source: city", "source: {a: b}", "models.net.source: input should be a valid string"),
        ("source: city", "tap: ''", "models.net.signature: source is missing"),
        ("source: city", "signature: ''", "models.net.signature: string should have at least 1"),
        ("layout", "digest: ABC, layout", "digest: string should match pattern"),
        (
            "scenes:birch",
            f'camvid:x", digest: {"a" * 64}, by: "sequence',
            "digest pins one data set and by makes many",
        ),
        ("source: city", "source: town", "no pair to score"),
    ],
)
def test_each_problem_alone_is_told(tmp_path, old, new, problem):
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(problem in line for line in found), found


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("sampling: {repetitions: 0}", "line 1, column 12: sampling.repetitions: .*than or equal"),
        ("sampling: {pixels: 0}", "line 1, column 12: sampling.pixels: .*than or equal to 1"),
        ("sampling: {pixels: 1.5}", "line 1, column 12: sampling.pixels: .*valid integer"),
        ("sampling: []", "line 1, column 1: sampling: input should be a valid dictionary"),
        ("sampling: 0", "line 1, column 1: sampling: input should be a valid dictionary"),
        ("score: {epsilon: 0}", "line 1, column 9: score.epsilon: .*greater than 0, found 0"),
        ("score: {epsilon: -1}", "score.epsilon: .*greater than 0, found -1"),
        ("score: {epsilon: .nan}", "score.epsilon: .*finite number, found nan"),
        ("score: {epsilon: .inf}", "score.epsilon: .*finite number, found inf"),
        ("score: {epsilon_curve: [1, 1]}", "score.epsilon_curve: .*every multiple once"),
        ("score: {epsilon_curve: [3, 1]}", "score.epsilon_curve: .*the smallest first"),
        ("score: {epsilon_curve: [0]}", "score.epsilon_curve.*greater than or equal to 0.001"),
        ("score: {epsilon_curve: [1e4]}", "score.epsilon_curve.*less than or equal to 1000"),
        (f"score: {{epsilon_curve: {[*range(1, 18)]}}}", "score.epsilon_curve: .*at most 16"),
        ("score: {solver: best}", "score.solver: input should be 'auto', 'pot' or 'emd'"),
        ("score: {tolerance: 0}", "score.tolerance: .*greater than 0"),
        ("preset: best", "line 1, column 1: preset: input should be 'default' or 'paper'"),
        ("seed: -1", "seed: .*greater than or equal to 0"),
        ("seed: 9223372036854775808", "seed: .*less than 9223372036854775808"),
        ("execution: {run_id: ../../x}", "execution.run_id: string should match pattern"),
        ("execution: {run_id: .x}", "execution.run_id: string should match pattern"),
        ("execution: {workers: 0}", "execution.workers: .*greater than or equal to 1"),
        ("execution: {store: ''}", "execution.store: .*at least 1 character"),
        ("execution: {in_fligth: 1}", "execution.in_fligth: unknown key; did you mean in_flight"),
    ],
)
def test_each_bad_value_is_told_with_its_place(tmp_path, section, problem):
    [found] = problems(tmp_path, section + GOOD)
    assert_matches(found, problem)


def assert_matches(text, pattern):
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(text)


@pytest.mark.parametrize("empty", ["", "{}", "null"])
def test_an_empty_zoo_is_told(tmp_path, empty):
    text = GOOD.partition("models:")[0] + f"models: {empty}\n"
    assert any("line 6, column 1: models: " in line for line in problems(tmp_path, text))


def test_missing_sections_are_told(tmp_path):
    found = problems(tmp_path, "seed: 1")
    assert found == [f"the top: {name}: is missing" for name in ("datasets", "models", "targets")]


@pytest.mark.parametrize(
    ("label_map", "problem"),
    [
        ("{7: 2}", r"maps to ids that are no class, such as \{7: 2\}; classes are 0..1 and"),
        ("{7: -1}", r"maps to ids that are no class, such as \{7: -1\}.*ignored ids are \[255\]"),
        ("{-1: 0}", r"label_map.-1.*greater than or equal to 0"),
        ("{65536: 0}", r"label_map.65536.*less than or equal to 65535"),
    ],
)
def test_a_label_map_to_what_is_no_class_is_refused(tmp_path, label_map, problem):
    text = GOOD.replace("[road, sky]", f"[road, sky], label_map: {label_map}")
    [found] = problems(tmp_path, text)
    assert_matches(found, rf"line 3, column \d+: datasets.city.label_map.*{problem}|{problem}")


def test_a_label_map_to_classes_and_ignored_ids_is_taken(tmp_path):
    rules = "label_map: {0: 1, 65535: 0, 9: 250, 8: -1}, ignore: [250, -1]"
    config = load_config(written(tmp_path, GOOD.replace("[road, sky]", f"[road, sky], {rules}")))
    assert config.datasets["city"].label_map == {0: 1, 65535: 0, 9: 250, 8: -1}


def test_a_data_set_called_like_a_layout_keeps_its_place(tmp_path):
    text = GOOD.replace("city", "folder").replace("town:", "scenes:").replace("[town]", "[scenes]")
    [found] = problems(tmp_path, text.replace('birch"', 'birch", count: x'))
    assert found.startswith("line 4, column 36: datasets.scenes.count: input should be a valid int")


def test_a_model_is_not_scored_for_its_own_source(tmp_path):
    text = GOOD.replace("[town]", "[city, town]")
    text += text.partition("models:")[2].replace("net:\n", "other:\n").replace("city", "town")
    assert load_config(written(tmp_path, text)).pairs == (("net", "town"), ("other", "city"))


def test_a_long_value_is_cut(tmp_path):
    [found] = problems(tmp_path, f"seed: {'x' * 5000}{GOOD}")
    assert len(found) < 200


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_the_examples_load(name):
    config = load_config(str(EXAMPLES / name))
    assert config.pairs
    assert config.execution.name == name.removesuffix(".yaml")
