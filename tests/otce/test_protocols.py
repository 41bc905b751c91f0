"""No URI of a configuration uses a protocol that `execution.protocols` does not list (S6)."""

import fsspec
import pytest

from otce.config_file import check, load_config
from otce.errors import ConfigError
from otce.protocols import DEFAULT_PROTOCOLS, protocols_of
from otce.yaml_places import Document

SCENES = {"layout": "scenes:alder"}
NET = {"reference": "python:nets:net", "weights": "/w", "source": "scenes"}
# Where a configuration holds URIs, and what stands around one.
FIELDS = {
    "datasets.bay.layout": "folder:{}",
    "models.net.weights": "{}",
    "models.net.reference": "onnx:{}",
    "execution.store": "{}",
}


def document(field=None, value=None, **execution):
    folder = {"layout": "folder:/d", "images": "i/*", "labels": "l/*", "classes": ["road"]}
    data = {
        "datasets": {"scenes": SCENES, "bay": folder},
        "models": {"net": dict(NET)},
        "targets": ["bay"],
        "execution": execution,
    }
    if field:
        *path, key = field.split(".")
        section = data
        for name in path:
            section = section[name]
        section[key] = FIELDS[field].format(value)
    return Document(data)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("uri", "others"),
    [
        ("ssh://host/a", "ssh"),
        ("http://169.254.169.254/latest", "http"),
        ("FILE:///etc/passwd", "FILE"),
        ("reference://::s3://bucket/map.json", "reference"),
        ("zip://a::s3://bucket/all.zip", "zip"),
        ("simplecache::sftp://host/a", "simplecache and sftp"),
        ("s3://bucket/a::local://etc", "local"),
    ],
)
def test_a_protocol_that_is_not_listed_is_refused_wherever_it_stands(field, uri, others):
    with pytest.raises(ConfigError) as caught:
        check(document(field, uri))
    message = str(caught.value)
    assert f"has 1 problem:\n  the top: {field}: {uri} uses the protocol {others}, " in message
    assert "execution.protocols: [" in message


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("uri", ["/a", "a", *(f"{name}://b/a" for name in DEFAULT_PROTOCOLS)])
def test_paths_and_buckets_need_no_mention(field, uri):
    assert check(document(field, uri))


@pytest.mark.parametrize("field", FIELDS)
def test_what_the_error_says_makes_the_configuration_valid(field):
    uri = "zip://a::simplecache::sftp://host/all.zip"
    with pytest.raises(ConfigError) as caught:
        check(document(field, uri))
    listed = str(caught.value).split("execution.protocols: [")[1].partition("]")[0].split(", ")
    assert uri in repr(check(document(field, uri, protocols=listed)))


def test_a_run_may_be_kept_from_local_files():
    """A path is a `file`, the default store too."""
    with pytest.raises(ConfigError) as caught:
        check(document("models.net.weights", "file:///etc/passwd", protocols=["s3"]))
    refused = {line.split(": ")[1] for line in str(caught.value).splitlines()[1:]}
    assert {"datasets.bay.layout", "models.net.weights", "execution.store"} == refused


@pytest.mark.parametrize("protocols", [[], "zip", ["Zip"], ["a::b"], ["zip", 3], {"zip": 1}, None])
def test_what_is_no_list_of_protocols_allows_nothing(protocols):
    with pytest.raises(ConfigError, match=r"execution\.protocols") as caught:
        check(document("execution.store", "zip://a::/all.zip", protocols=protocols))
    assert "execution.store" in str(caught.value) or protocols == ["zip", 3]


@pytest.mark.parametrize(
    "options",
    [
        {"s3": {"target_protocol": "ssh"}},
        {"s3": {"client_kwargs": {"fs": 1}}},
        {"dir": {"fo": "/etc"}},
    ],
)
def test_options_lead_to_no_other_protocol(options):
    with pytest.raises(ConfigError, match="leads to another file system than the URI says"):
        check(document(storage_options=options))


@pytest.mark.parametrize("store", ["s3:/bucket/otce", "s3:bucket", "gs:/bucket", "file:/data"])
def test_a_uri_without_its_slashes_is_no_path(store):
    """Tables went into a folder called `s3:` beside the configuration."""
    with pytest.raises(ConfigError, match=f"write {store.partition(':')[0]}:// for the protocol"):
        check(document(store=store))


@pytest.mark.parametrize("store", ["./s3:/bucket", "/data/a:b", "results:old", "s3://bucket/otce"])
def test_other_colons_are_part_of_a_path(store):
    check(document(store=store))


@pytest.mark.parametrize("images", ["i/*.png::ssh://host/a", "::*"])
def test_a_path_below_a_root_is_no_chain(images):
    data = document()
    data.data["datasets"]["bay"]["images"] = images
    with pytest.raises(ConfigError, match="would be read as another address"):
        check(data)


def test_the_command_may_list_a_protocol(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "datasets: {a: {layout: 'scenes:alder'}, b: {layout: 'scenes:dune'}}\ntargets: [b]\n"
        "models: {n: {reference: 'python:n:n', weights: 'dir::file:///w', source: a}}\n"
    )
    with pytest.raises(ConfigError, match="uses the protocol dir,"):
        load_config(str(path))
    found = load_config(str(path), ["execution.protocols=[file, dir]"])
    assert found.models["n"].weights == "dir::file:///w"


@pytest.mark.parametrize(
    "uri",
    [
        "/a/b",
        "/a b/c:d",
        "s3://b/a",
        "zip://a.png::s3://b/all.zip",
        "simplecache::s3://b/a",
        "simplecache::zip://a::/all.zip",
        "/a::memory://b",
    ],
)
def test_every_protocol_that_fsspec_would_use_is_named(uri):
    chain = fsspec.core._un_chain(uri, {})
    used = {protocol or "file" for _, protocol, _ in chain}
    assert used <= set(protocols_of(uri))
