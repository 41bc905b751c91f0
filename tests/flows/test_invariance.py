"""Workers, shards and order change the speed of a run and none of its bytes."""

import pytest

from tests.zoo import otce, write_zoo, zoo_config

VARIANTS = {
    "one worker, whole data sets, nothing kept": (
        {"workers": 1, "items_per_shard": 64, "keep_signatures": False},
        False,
    ),
    "two workers, one image a shard": ({"workers": 2, "items_per_shard": 1}, False),
    "four workers, uneven shards, last model first": ({"workers": 4, "items_per_shard": 5}, True),
}


def run(folder, execution, env, *, backwards=False):
    config = zoo_config(images=12)
    config["execution"] |= execution
    if backwards:
        config["models"] = dict(reversed(config["models"].items()))
        config["datasets"] = dict(reversed(config["datasets"].items()))
        config["targets"].reverse()
    code, output = otce("run", write_zoo(folder, config), log=folder / "log", env=env)
    assert code == 0, output
    names = ("scores", "summary", "joints")
    tables = {name: (folder / f"store/runs/test/{name}.parquet").read_bytes() for name in names}
    kept = (folder / "store/features").glob("*/*.safetensors")
    return tables, {f"{path.parent.name}/{path.name}": path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, prefect_api):
    return run(tmp_path_factory.mktemp("plain"), {}, prefect_api)


@pytest.mark.parametrize(
    "variant",
    # The matrix has the others.
    [pytest.param(v, marks=pytest.mark.nightly if v.startswith("two") else ()) for v in VARIANTS],
)
def test_bytes_do_not_depend_on(variant, plain, tmp_path, prefect_api):
    execution, backwards = VARIANTS[variant]
    tables, kept = run(tmp_path, execution, prefect_api, backwards=backwards)
    assert tables == plain[0]
    assert len(plain[1]) == 3 * 3
    assert kept == (plain[1] if execution.get("keep_signatures", True) else {})
