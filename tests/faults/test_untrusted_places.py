"""Names in a configuration, an archive or a bucket lead to no file that they should not (S6).

See also test_protocols.py, datasets/test_hostile_data.py and the table in test_untrusted.py.
"""

import ast
import io
import tarfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from flows import reading
from otce.config import FolderDataset
from otce.config_file import load_config
from otce.errors import ConfigError, ModelError, StoreError
from otce.storage.files import write_bytes
from otce.storage.store import Store
from otce.zoo.weights import parse_state, read_limited

ROOT = Path(__file__).parents[2]
CODE = {
    path: path.read_text()
    for package in ("otce", "tasks", "flows")
    for path in (ROOT / package).rglob("*.py")
}


@pytest.mark.parametrize("glob", ["../**", "**", "../*", "/etc/*", "i/../../*", "a/*/../../../x"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_a_glob_stays_below_its_root(field, glob):
    """S6."""
    fields = {"images": "i/*.png", "labels": "l/*.png", "classes": ("a",)} | {field: glob}
    with pytest.raises(
        ValueError, match=f"{field}\n.*(is not below the root|should match pattern)"
    ):
        FolderDataset(layout="folder:/d", **fields)


def _calls(tree):
    return {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }


def test_no_archive_is_ever_unpacked_to_files():
    """S6: a member called ../x has nowhere to go."""
    trees = {path: ast.parse(text) for path, text in CODE.items()}
    assert len(trees) > 50
    found = {
        (path.name, name)
        for path, tree in trees.items()
        for name in _calls(tree) & {"extractall", "extract_all", "unpack_archive", "TarFile"}
    }
    assert not found
    assert not any("tarfile" in text for text in CODE.values())


def test_a_member_of_an_archive_is_no_path_beside_it(tmp_path):
    """S6: with `tar` allowed, a member ../x is what the archive holds, whatever lies there."""
    inside = safetensors.torch.save({"from": torch.ones(1)})
    (tmp_path / "x.safetensors").write_bytes(safetensors.torch.save({"from": torch.zeros(1)}))
    (tmp_path / "zoo").mkdir()
    with tarfile.open(tmp_path / "zoo/all.tar", "w") as archive:
        member = tarfile.TarInfo("../x.safetensors")
        member.size = len(inside)
        archive.addfile(member, io.BytesIO(inside))
    uri = f"tar://../x.safetensors::file://{tmp_path}/zoo/all.tar"
    data = read_limited(uri, 1 << 20, None)
    assert parse_state(data, uri, 1 << 20)["from"].tolist() == [1.0]
    absent = f"tar://../../x.safetensors::file://{tmp_path}/zoo/all.tar"
    with pytest.raises(StoreError, match="no such object"):
        read_limited(absent, 1 << 20, None)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["all.tar", "x.safetensors", "zoo"]


def test_a_tar_of_old_is_no_state_dict(tmp_path):
    """S6: torch's first format was a tar, which its reader would unpack to files."""
    with tarfile.open(tmp_path / "net.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("../pickle"))
    with pytest.raises(ModelError, match="neither a safetensors file"):
        parse_state((tmp_path / "net.pt").read_bytes(), "net.pt", 1 << 20)


def test_a_run_from_a_bucket_may_be_kept_from_the_files_of_its_machine(s3_server, s3_bucket):
    """S6: file:///etc in a remote run; relative places are then in the bucket."""
    text = (
        "datasets: {a: {layout: 'scenes:alder'}, etc: {layout: 'folder:file:///etc', images: '*.a',"
        " labels: '*.b', classes: [a]}}\ntargets: [etc]\n"
        "models: {n: {reference: 'python:n:n', weights: w, source: a}}\n"
    )
    uri, options = f"s3://{s3_bucket}/runs/run.yaml", {"s3": {"endpoint_url": s3_server}}
    write_bytes(uri, text.encode(), options)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", s3_server)
        assert load_config(uri).models["n"].weights == f"s3://{s3_bucket}/runs/w"
        with pytest.raises(ConfigError) as caught:
            load_config(uri, ["execution.protocols=[s3]"])
    message = str(caught.value)
    assert "has 1 problem:" in message
    assert "datasets.etc.layout: file:///etc uses the protocol file" in message


@pytest.mark.parametrize(
    ("run_id", "says"),
    [
        ("../../x", "is not below"),
        ("..", "no such object"),  # the root of the store itself, where no tables lie
        ("../../../etc/x", "is not below"),
    ],
)
def test_a_manifest_in_a_poisoned_bucket_names_no_path(tmp_path, run_id, says):
    """S6: `report` writes into the folder of the run, whose id stands in its manifest."""
    manifest = {"run_id": run_id, "finished": "2026-01-01"}
    store = Store(str(tmp_path / "deep/store"))
    store.put_json("runs/test/manifest.json", manifest)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=says):
        reading.report(store.uri)
    assert sorted(tmp_path.rglob("*")) == before
