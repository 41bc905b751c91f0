"""What a store says, and leaves behind, when it cannot do what it is asked."""

import copy
import errno
import os
import sys

import aiohttp
import pytest
from botocore.exceptions import NoCredentialsError
from fsspec.registry import _registry as fsspec_imported

from otce.errors import StoreError, StoreUnavailableError
from otce.storage.errors import explained
from otce.storage.files import absolute_uri, filesystem, join
from otce.storage.store import Store
from tests.emulators import AZURITE_ACCOUNT, AZURITE_LOGIN, EMULATED, free_port


class CloudError(Exception):
    """As azure's: an exception tree of its own, with the server's status."""

    def __init__(self, status_code):
        super().__init__(f"status {status_code}")
        self.status_code = status_code


CloudError.__module__ = "azure.core.exceptions"


def test_the_probe_leaves_nothing_behind(store_uri, store_options):
    store = Store(store_uri, store_options)
    store.probe()
    assert store.names("") == []


def test_the_probe_refuses_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot write .*store.*check path, rights and space"):
        Store(str(tmp_path / "store")).probe()


def test_the_probe_refuses_a_bucket_that_does_not_exist(s3_server):
    store = Store("s3://otce-no-such-bucket/store", {"s3": {"endpoint_url": s3_server}})
    with pytest.raises(StoreError, match=r"s3://otce-no-such-bucket/store/.*check the path"):
        store.probe()


@pytest.mark.nightly
@pytest.mark.parametrize("kind", EMULATED)
def test_the_probe_refuses_a_bucket_that_does_not_exist_at_any_cloud(request, kind):
    root, options = request.getfixturevalue(kind)
    absent = f"{root}-that-is-not/store"
    with pytest.raises(StoreError, match=rf"{absent}/probe-.*no such object; check the path$"):
        Store(absent, options).probe()


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "protocol"), [("azurite", "az"), ("gcs", "gs")])
def test_a_cloud_that_does_not_answer_may_answer_later(request, kind, protocol):
    root, options = request.getfixturevalue(kind)
    address = f"http://127.0.0.1:{free_port()}"
    silent = {
        "az": {"connection_string": f"{AZURITE_LOGIN};BlobEndpoint={address}/{AZURITE_ACCOUNT}"},
        "gs": {**options.get("gs", {}), "endpoint_url": address},
    }
    with pytest.raises(StoreUnavailableError, match="try again"):
        Store(root, {protocol: silent[protocol]}).get("a")


def test_a_server_that_does_not_answer_may_answer_later():
    options = {
        "endpoint_url": f"http://127.0.0.1:{free_port()}",
        "key": "otce-test",
        "secret": "otce-test",
        "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 2},
    }
    with pytest.raises(StoreUnavailableError, match=r"s3://bucket/a.*try again"):
        Store("s3://bucket", {"s3": options}).get("a")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EBUSY, "SlowDown"),
        OSError(getattr(errno, "EREMOTEIO", errno.EAGAIN), "InternalError"),
        ConnectionResetError("reset"),
        TimeoutError("late"),
        aiohttp.ClientOSError(errno.ECONNREFUSED, "refused"),
    ],
)
def test_what_may_pass_is_transient(error):
    with pytest.raises(StoreUnavailableError, match=r"cannot read s3://a/b.*try again"):
        raise_explained(error)


@pytest.mark.parametrize(
    "error", [PermissionError("no"), FileNotFoundError("no"), OSError(errno.ENOSPC, "full")]
)
def test_what_stays_is_not_transient(error):
    with pytest.raises(StoreError, match="cannot read s3://a/b") as caught:
        raise_explained(error)
    assert not caught.value.transient


@pytest.mark.parametrize("error", [NoCredentialsError(), CloudError(401), CloudError(403)])
def test_a_refusal_in_a_cloud_library_s_own_words_is_not_transient(error):
    with pytest.raises(StoreError, match=r"cannot read s3://a/b: refused.*credentials") as caught:
        raise_explained(error)
    assert not caught.value.transient


@pytest.mark.parametrize("error", [FileNotFoundError("no"), CloudError(404)])
def test_what_is_absent_is_told_in_the_same_words(error):
    with pytest.raises(StoreError, match=r"s3://a/b: no such object; check the path$") as caught:
        raise_explained(error)
    assert not caught.value.transient


@pytest.mark.parametrize("error", [CloudError(429), CloudError(503), CloudError(None)])
def test_a_busy_server_in_a_cloud_library_s_own_words_is_transient(error):
    with pytest.raises(StoreUnavailableError, match="try again"):
        raise_explained(error)


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), StoreError("ours")])
def test_our_own_faults_are_not_explained_away(error):
    with pytest.raises(type(error)) as caught:
        raise_explained(error)
    assert caught.value is error


def raise_explained(error):
    with explained("read", "s3://a/b"):
        raise error


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_object_and_nothing_else(
    tmp_path, monkeypatch, fault, step
):
    store = Store(str(tmp_path))
    store.put("scores/a", b"old")

    def interrupted(*_):
        raise fault

    monkeypatch.setattr(os, step, interrupted)
    with pytest.raises((StoreError, KeyboardInterrupt)):
        store.put("scores/a", b"new")
    monkeypatch.undo()
    assert store.get("scores/a") == b"old"
    assert [file.name for file in (tmp_path / "scores").iterdir()] == ["a"]


def test_a_file_left_by_a_killed_writer_is_not_listed(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", os.link)  # the temporary file stays
        store.put("scores/a", b"a")
    assert len(list((tmp_path / "scores").iterdir())) == 2
    assert store.names("scores") == ["a"]


@pytest.mark.parametrize("protocol", ["s3", "s3a", "gs", "gcs", "az", "abfs"])
def test_no_cloud_store_caches_listings_unless_asked_to(monkeypatch, protocol):
    asked = []
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda _, **o: (asked.append(o), ""))
    filesystem(f"{protocol}://bucket", {protocol: {"anon": True}})
    filesystem(f"{protocol}://bucket", {protocol: {"use_listings_cache": True}})
    found = [{n: value for n, value in one.items() if n != "config_kwargs"} for one in asked]
    assert found == [{"use_listings_cache": False, "anon": True}, {"use_listings_cache": True}]


def test_s3_waits_for_a_busy_server_but_not_for_ever_unless_told_otherwise(monkeypatch):
    asked = []
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda _, **o: (asked.append(o), ""))
    filesystem("s3://bucket", {})
    filesystem("s3://bucket", {"s3": {"config_kwargs": {"read_timeout": 2}}})
    waiting = {"retries": {"mode": "adaptive", "max_attempts": 3}, "connect_timeout": 5}
    assert [one["config_kwargs"] for one in asked] == [
        waiting | {"read_timeout": 15},
        waiting | {"read_timeout": 2},
    ]


def test_options_are_not_written_into(s3_server, s3_bucket):
    """botocore once added a key to the retries that a configuration asked for."""
    given = {"endpoint_url": s3_server, "config_kwargs": {"retries": {"max_attempts": 2}}}
    before = copy.deepcopy(given)
    Store(f"s3://{s3_bucket}", {"s3": given}).probe()
    assert given == before


def test_an_unknown_protocol_is_told():
    with pytest.raises(StoreError, match=r"nosuch://bucket/a: .*use a path or a URI"):
        Store("nosuch://bucket").get("a")


@pytest.mark.parametrize(
    ("uri", "package", "extra"), [("gs://bucket", "gcsfs", "gcs"), ("az://box", "adlfs", "azure")]
)
def test_a_missing_extra_is_told_with_how_to_install_it(monkeypatch, uri, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    # fsspec keeps what an earlier test imported.
    monkeypatch.delitem(fsspec_imported, uri.partition("://")[0], raising=False)
    with pytest.raises(StoreError, match=rf"{uri}/a: .*pip install 'otce\[{extra}\]'"):
        Store(uri).get("a")


@pytest.mark.parametrize(
    ("uri", "folder", "expected"),
    [
        ("a/b", "/base", "/base/a/b"),
        ("../b", "/base/x", "/base/b"),
        ("/b", "/base", "/b"),
        ("s3://zoo/b", "/base", "s3://zoo/b"),
        ("a/b", "s3://zoo/x", "s3://zoo/x/a/b"),
        ("../../../b", "s3://zoo/x", "s3://zoo/b"),
        (".", "s3://zoo/x#1?y", "s3://zoo/x#1?y"),
        ("/b", "s3://zoo/x", "/b"),
        ("~/b", "s3://zoo/x", f"{os.path.expanduser('~')}/b"),  # noqa: PTH111
        ("b", "file:///base", "file:///base/b"),
    ],
)
def test_relative_uris_are_relative_to_the_folder(uri, folder, expected):
    assert absolute_uri(uri, folder) == expected


def test_the_root_joined_with_nothing_is_the_root():
    assert join("s3://zoo/x/", "") == join("s3://zoo/x", ".") == "s3://zoo/x"
