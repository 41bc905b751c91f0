"""Fixtures that many folders share."""

import os
import signal
import sys
import urllib.request
import uuid

import pytest
import torch
from hypothesis import settings

from tests.emulators import (  # noqa: F401 - fixtures that `store_place` asks for
    EMULATED,
    azurite,
    free_port,
    gcs,
    rclone,
    served,
)
from tests.server import prefect_api, prefect_home  # noqa: F401 - fixtures of many folders

# A busy machine is slow, which is no property of ours.
settings.register_profile("otce", deadline=None)
settings.load_profile("otce")

# A shell starts what runs in the background deaf to Ctrl-C, and a run of a test would be so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Dummies, and nothing of the machine's own: a test can reach its own server only.
AWS = {
    "AWS_ACCESS_KEY_ID": "otce-test",
    "AWS_SECRET_ACCESS_KEY": "otce-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

BUCKETS = ("s3", *(pytest.param(name, marks=pytest.mark.nightly) for name in EMULATED))
"""Stores behind HTTP; only the first is asked by day."""


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def aws_keys():
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            environment.delenv(name, raising=False)
        for name, value in AWS.items():
            environment.setenv(name, value)
        yield AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory, aws_keys):
    """Endpoint of a real S3 server, a process of its own that workers reach too."""
    log, port = tmp_path_factory.mktemp("s3") / "server.log", free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with served(command, port, log):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def s3_bucket(s3_server):
    """Name of a bucket that nobody else uses."""
    return new_bucket(s3_server)


def new_bucket(s3_server):
    name = f"otce-{uuid.uuid4().hex}"
    request = urllib.request.Request(f"{s3_server}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    return name


@pytest.fixture(params=["memory", "local", *BUCKETS])
def store_place(request, tmp_path):
    """URI of an empty folder and the options to reach it; the same test on all kinds of store."""
    if request.param in EMULATED:
        root, options = request.getfixturevalue(request.param)
        return f"{root}/{uuid.uuid4().hex}/store", options
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/store", {}
    if request.param == "local":
        return str(tmp_path / "store"), {}
    bucket, endpoint = (request.getfixturevalue(name) for name in ("s3_bucket", "s3_server"))
    return f"s3://{bucket}/store", {"s3": {"endpoint_url": endpoint}}


@pytest.fixture
def store_uri(store_place):
    return store_place[0]


@pytest.fixture
def store_options(store_place):
    return store_place[1]
