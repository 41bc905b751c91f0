"""Optional libraries: named when absent, mended when they cannot be imported, left alone else."""

import subprocess
import sys

import pytest

from otce.errors import ModelError
from otce.zoo import libraries
from otce.zoo.libraries import library, library_code
from tests.zoo_nets import loaded, needs, saved, seeded


@pytest.mark.parametrize(
    ("reference", "module", "extra"),
    [
        ("torchvision:fcn_resnet50", "torchvision", "torchvision"),
        ("hf:/nets/b0", "transformers", "hf"),
        ("smp:unet/resnet18", "segmentation_models_pytorch", "smp"),
        ("monai:UNet", "monai", "monai"),
        ("onnx:{folder}/w", "onnx", "onnx"),
    ],
)
def test_an_absent_library_is_named_with_its_extra(monkeypatch, tmp_path, reference, module, extra):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    weights = saved(seeded(), tmp_path / "w")
    with pytest.raises(ModelError, match=rf"cannot be imported .*pip install 'otce\[{extra}\]'"):
        loaded(reference.format(folder=tmp_path), weights=weights)


def test_a_library_that_does_not_fit_torch_says_so(monkeypatch, tmp_path):
    (tmp_path / "broken_nets.py").write_text(
        "raise RuntimeError('operator made_up does not exist')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"does not fit the installed torch .*otce\[monai\]"):
        library("broken_nets", "monai")


FRESH = """
import sys, torch
from otce.zoo import libraries
plain = "ok"
if sys.argv[1] == "first":
    try:
        import torchvision
    except RuntimeError as error:
        plain = str(error)
libraries.library("torchvision", "torchvision")
import torchvision
import torchvision.models.segmentation
print(plain == "ok", len(libraries._DECLARED), torchvision.__version__)
"""


@pytest.mark.parametrize("first", ["first", "not"])
def test_operators_are_declared_exactly_where_torchvision_cannot_be_imported(first):
    """Its wheel for CUDA fails on a torch for CPUs; one that imports must not be touched."""
    if libraries.importlib.util.find_spec("torchvision") is None:
        pytest.skip("needs the torchvision extra: pip install 'otce[torchvision]'")
    run = subprocess.run(
        [sys.executable, "-c", FRESH, first], capture_output=True, text=True, check=True
    )
    imports_plainly, declared, _ = run.stdout.split()
    if first == "first":
        assert (imports_plainly, declared) in {("True", "0"), ("False", "1")}
    else:
        assert declared in {"0", "1"}


def test_a_library_is_known_by_its_version(monkeypatch):
    monkeypatch.setattr(libraries, "version", lambda name: f"{name} of yesterday")
    before = library_code("monai")
    monkeypatch.setattr(libraries, "version", lambda name: f"{name} of today")
    assert library_code("monai") != before
    monkeypatch.setattr(libraries, "version", lambda name: f"{name} of today+cu130")
    assert library_code("monai") != before
    built_for_a_card = library_code("monai")
    monkeypatch.setattr(libraries, "version", lambda name: f"{name} of today+cpu")
    assert library_code("monai") == built_for_a_card


def test_libraries_are_loaded_only_when_named():
    code = "import sys, otce.zoo, flows.validate; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torchvision", "transformers", "timm", "monai", "onnx", "segmentation_models_pytorch"}
    assert not heavy & set(run.stdout.split())


@pytest.mark.parametrize(
    ("reference", "module", "extra", "message"),
    [
        ("torchvision:fcn_resnet55", "torchvision", "torchvision", "it has fcn_resnet50"),
        ("torchvision:resnet50", "torchvision", "torchvision", "no resnet50 for segmentation"),
        ("torchvision:fcn_resnet50/DEFALT", "torchvision", "torchvision", "it has DEFAULT"),
        ("smp:unett/resnet18", "segmentation_models_pytorch", "smp", "it has unet"),
        ("smp:unet/resnet19", "segmentation_models_pytorch", "smp", "it has resnet1"),
        ("monai:UNett", "monai", "monai", "it has U"),
        ("monai:annotations", "monai", "monai", "MONAI has no network annotations"),
    ],
)
def test_an_unknown_name_is_refused_with_close_ones(tmp_path, reference, module, extra, message):
    needs(module, extra)
    with pytest.raises(ModelError, match=message):
        loaded(reference, weights=saved(seeded(), tmp_path / "w"))
