"""What a configuration becomes: presets, paths, names, and the `--set` that overrides it."""

import getpass
import uuid
from pathlib import Path

import pytest
import yaml

from otce.config import RunConfig
from otce.config_file import check, load_config
from otce.errors import ConfigError, StoreUnavailableError
from otce.recipe import PRESETS
from otce.storage.files import write_bytes
from otce.yaml_places import Document, parse

GOOD = """
datasets:
  city: {layout: "folder:data/city", images: "i/*.png", labels: "l/*.png", classes: [road, sky]}
  town: {layout: "scenes:birch"}
  v1.5: {layout: "scenes:dune"}
targets: [town]
models:
  net: &net
    reference: python:nets:net
    weights: weights/net.safetensors
    source: city
    preprocessing: {size_px: [8, 16]}
  a=b: {<<: *net, weights: ~/other.safetensors}
"""


def load(folder, *overrides, text=GOOD, name="run.yaml"):
    (folder / name).write_text(text, encoding="utf-8")
    return load_config(str(folder / name), overrides)


def test_a_preset_fills_what_is_left_out(tmp_path):
    config = load(tmp_path)
    assert config.preset == "default"
    assert config.sampling.model_dump().items() >= PRESETS["default"]["sampling"].items()
    assert config.score.model_dump().items() >= PRESETS["default"]["score"].items()


def test_the_paper_preset_is_the_papers_recipe_to_the_letter(tmp_path):
    config = load(tmp_path, "preset=paper")
    assert (config.sampling.pixels, config.sampling.repetitions) == (10_000, 10)
    assert config.score.epsilon == 0.1
    assert config.score.feature_scaling == "none"
    assert config.score.relaxation == "none"
    assert config.score.class_weights == "uniform"


@pytest.mark.parametrize("preset", PRESETS)
def test_explicit_values_win_over_the_preset(tmp_path, preset):
    text = f"score: {{epsilon: 0.5, feature_scaling: l2}}\nsampling: {{pixels: 7}}\n{GOOD}"
    config = load(tmp_path, f"preset={preset}", text=text)
    assert (config.score.epsilon, config.score.feature_scaling) == (0.5, "l2")
    assert (config.sampling.pixels, config.sampling.repetitions) == (7, 10)


@pytest.mark.parametrize("section", ["score", "sampling"])
def test_a_section_without_a_value_is_the_presets(tmp_path, section):
    assert load(tmp_path, text=f"{section}:\n{GOOD}").fingerprint == load(tmp_path).fingerprint


def test_relative_uris_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir("/")
    overrides = ["execution.store=../store", "execution.python_path=[., code]"]
    config = load(tmp_path / "runs", *overrides)
    assert config.datasets["city"].layout == f"folder:{tmp_path}/runs/data/city"
    assert config.models["net"].weights == f"{tmp_path}/runs/weights/net.safetensors"
    assert config.execution.store == f"{tmp_path}/store"
    assert config.execution.python_path == (f"{tmp_path}/runs", f"{tmp_path}/runs/code")


def test_default_places_are_beside_the_file(tmp_path):
    config = load(tmp_path)
    assert config.execution.store == f"{tmp_path}/otce-store"
    assert config.execution.python_path == (str(tmp_path),)


def test_a_path_to_the_file_may_be_relative(tmp_path, monkeypatch):
    config = load(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_config("run.yaml") == config


def test_a_file_in_the_root_folder_has_a_folder(monkeypatch):
    monkeypatch.setattr("otce.config_file.read_bytes", lambda *_, **__: GOOD.encode())
    assert load_config("/run.yaml").execution.store == "/otce-store"


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load(tmp_path, "execution.store=~/store")
    assert config.execution.store == "/home/somebody/store"
    assert config.models["a=b"].weights == "/home/somebody/other.safetensors"
    named = load(tmp_path, f"execution.store=~{getpass.getuser()}/store").execution.store
    assert named == str(Path(f"~{getpass.getuser()}/store").expanduser())


def test_uris_and_absolute_paths_stay(tmp_path):
    config = load(tmp_path, "execution.store=s3://b/x", "models.net.weights=/w.safetensors")
    assert config.execution.store == "s3://b/x"
    assert config.models["net"].weights == "/w.safetensors"


def test_relative_uris_are_relative_to_a_file_in_any_store(store_uri, store_options, monkeypatch):
    if "s3" in store_options:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store_options["s3"]["endpoint_url"])
    uri = f"{store_uri}/{uuid.uuid4().hex}/runs"
    write_bytes(f"{uri}/run.yaml", GOOD.encode(), store_options)
    allowed = "execution.protocols=[file, s3, memory, az, gs]"
    config = load_config(f"{uri}/run.yaml", ["execution.store=../store", allowed])
    assert config.datasets["city"].layout == f"folder:{uri}/data/city"
    assert config.models["net"].weights == f"{uri}/weights/net.safetensors"
    assert config.execution.store == f"{uri.rpartition('/')[0]}/store"


def test_a_missing_file_is_a_wrong_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: no such object; check the path"):
        load_config(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="nosuch"):
        load_config("nosuch://bucket/run.yaml")


def test_a_store_that_does_not_answer_is_no_wrong_configuration(monkeypatch):
    def no_answer(_, **__):
        raise StoreUnavailableError("no answer")

    monkeypatch.setattr("otce.config_file.read_bytes", no_answer)
    with pytest.raises(StoreUnavailableError):
        load_config("s3://bucket/run.yaml")


@pytest.mark.parametrize(
    ("file", "name"),
    [("demo.yaml", "demo"), ("my run#1 (ü).yaml", "my-run-1-"), (f"{'x' * 60}.yaml", "x" * 48)],
)
def test_the_file_names_the_run(tmp_path, file, name):
    config = load(tmp_path, name=file)
    assert config.execution.name == name
    assert config.run_id == f"{name}-{config.fingerprint[:8]}"
    assert load(tmp_path, "execution.run_id=mine", name=file).run_id == "mine"


def test_a_configuration_written_and_read_again_is_the_same(tmp_path):
    text = GOOD.replace("[road, sky]", "[road, sky], label_map: {7: 0, 8: 250}, ignore: [250, -1]")
    config = load(tmp_path, text=text)
    dumped = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    again = check(parse(dumped.encode(), "again"))
    assert again == config
    assert again.fingerprint == config.fingerprint


def test_set_reaches_nested_and_new_keys_of_any_type(tmp_path):
    overrides = ["score.epsilon=0.2", "sampling.too_few_pixels=shrink", "targets=[town, v1.5]"]
    overrides += ['datasets."v1.5".count=3', 'models."a=b".arguments={n: 3, deep: true}']
    config = load(tmp_path, *overrides, "execution.workers=1", "execution.workers=2")
    assert config.score.epsilon == 0.2
    assert config.sampling.too_few_pixels == "shrink"
    assert config.targets == ("town", "v1.5")
    assert config.datasets["v1.5"].count == 3
    assert config.models["a=b"].arguments == {"n": 3, "deep": True}
    assert config.execution.workers == 2


def test_set_changes_one_of_the_models_that_share_an_alias(tmp_path):
    config = load(tmp_path, "models.net.preprocessing.size_px=[1, 2]")
    assert config.models["net"].preprocessing.size_px == (1, 2)
    assert config.models["a=b"].preprocessing.size_px == (8, 16)


def test_set_replaces_a_key_that_is_a_number(tmp_path):
    text = GOOD.replace("[road, sky]", "[road, sky], label_map: {7: 0}")
    config = load(tmp_path, "datasets.city.label_map.7=1", text=text)
    assert config.datasets["city"].label_map == {7: 1}


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("score.epsilon", "expected dotted.key=value"),
        ("=1", "expected dotted.key=value"),
        (".a=1", "expected dotted.key=value"),
        ("a..b=1", "expected dotted.key=value"),
        (" =1", "expected dotted.key=value"),
        ('a."b=1', "expected dotted.key=value"),
        ("targets.0=town", "targets.0 is not inside a mapping"),
        ("datasets.town.count.x=1", "datasets.town.count.x is not inside a mapping"),
        ("score.epsilon=[1", "not YAML that can be read safely"),
        ("score.epsilon=!!python/name:os.system", "not YAML that can be read safely"),
        ("score.epsilon=2026-13-45", "not YAML that can be read safely"),
        ("score={epsilon: 1, epsilon: 2}", "duplicate key"),
        (f"score={'[' * 5000}", "not YAML that can be read safely"),
        ("score=&a [*a]", "nests deeper"),
    ],
)
def test_a_bad_set_is_told(tmp_path, override, problem):
    text = GOOD.replace("scenes:birch", "scenes:birch, count: 3")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, override, text=text.replace('birch, count: 3"', 'birch", count: 3'))
    assert str(caught.value).startswith(f"--set {override}")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("score.epsilon=0", "score.epsilon: input should be greater than 0, found 0"),
        ("score.epsiln=1", "score.epsiln: unknown key; did you mean epsilon or epsilon_curve?"),
        ("scor.epsilon=1", "scor: unknown key; did you mean score"),
        ("models.net.source=cty", "models.net.source: no data set has the id 'cty'"),
        ("models.net={weights: w}", "models.net.reference: is missing"),
        ("models.new.tap=head", "models.new.reference: is missing"),
        ("targets=[town, town]", "targets: 'town' is listed twice"),
        ("targets=[twn]", "targets.0: no data set has the id 'twn'"),
    ],
)
def test_a_problem_that_came_by_set_says_so(tmp_path, override, problem):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, override)
    assert f"\n  --set {override}: {problem}" in str(caught.value)


def test_a_document_needs_no_file():
    data = yaml.safe_load(GOOD)
    assert isinstance(check(Document(data)), RunConfig)
    with pytest.raises(ConfigError, match=r"the top: seed: .*found 'x'"):
        check(Document(data | {"seed": "x"}))


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ("[logme]", "metrics: otce is missing; it is always computed"),
        ("[otce, gbc, gbc]", "metrics: one is written twice"),
        ("[otce, otce_full]", "metrics: otce_full has no coefficients; fit them"),
    ],
)
def test_metrics_that_cannot_be_had_are_told_in_a_sentence(tmp_path, metrics, told):
    """They once ended in a traceback: a check of the whole run has no place of its own."""
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, f"metrics={metrics}")
