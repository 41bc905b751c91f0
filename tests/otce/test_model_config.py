"""A reference says what it is; names are looked up and never become paths."""

import pytest
from pydantic import ValidationError

from otce.model_config import ModelConfig


def made(reference, **fields):
    given = {"reference": reference, "source": "bay", "weights": "/w"} | fields
    return ModelConfig.model_validate(given, context={"folder": "/zoo"})


@pytest.mark.parametrize(
    ("reference", "kind", "name"),
    [
        ("torchvision:fcn_resnet50", "torchvision", "fcn_resnet50"),
        ("torchvision:fcn_resnet50/DEFAULT", "torchvision", "fcn_resnet50/DEFAULT"),
        ("hf:org/seg-b0@main", "hf", "org/seg-b0@main"),
        ("hf:org/seg.b0@0123abc", "hf", "org/seg.b0@0123abc"),
        ("hf:nets/b0", "hf", "/zoo/nets/b0"),
        ("hf:s3://zoo/b0", "hf", "s3://zoo/b0"),
        ("smp:unet/resnet18", "smp", "unet/resnet18"),
        ("smp:dpt/tu-vit_base_patch16_224.augreg_in21k", "smp", None),
        ("monai:UNet", "monai", "UNet"),
        ("export:net.pt2", "export", "/zoo/net.pt2"),
        ("onnx:s3://zoo/net.onnx", "onnx", "s3://zoo/net.onnx"),
        ("torchscript:../net.pt", "torchscript", "/net.pt"),
        ("python:our.nets:unet", "python", "our.nets:unet"),
    ],
)
def test_every_kind_has_its_form(reference, kind, name):
    config = made(reference)
    assert (config.kind, config.name) == (kind, name or reference.partition(":")[2])


@pytest.mark.parametrize(
    "reference",
    [
        "torchvision:../fcn",
        "torchvision:fcn/../DEFAULT",
        "torchvision:fcn_resnet50.__init__",
        "smp:unet",
        "smp:unet/../resnet18",
        "smp:unet/tu-hf-hub:org/name",
        "monai:..UNet",
        "monai:nets.UNet",
        "monai:UNet/x",
        "export:net.pt",
        "python:our/nets:unet",
        "python:our.nets:unet.__globals__",
        "python:our.nets",
        "hf:",
        "onnx:",
    ],
)
def test_a_name_of_another_form_is_refused_with_the_form(reference):
    kind = reference.partition(":")[0]
    with pytest.raises(ValidationError, match=f"does not have the form {kind}:<"):
        made(reference)


@pytest.mark.parametrize("reference", ["nets.net", "pickle:net.pkl", "file:/net", "", "Hf:a/b@c"])
def test_an_unknown_kind_is_refused_with_all_forms(reference):
    with pytest.raises(ValidationError, match=r"write one of torchvision:.*smp:<arch>/<encoder>"):
        made(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "hf:../org/name",
        "hf:./org/name@main",
        "hf:/org/name",
        "hf:org/name@a/../../../refs",
        "hf:org/name@..",
        "hf:org/../name@main",
    ],
)
def test_a_path_is_no_name_on_the_hub(reference):
    assert not made(reference).is_on_hub
    assert made(reference).name.startswith("/")


@pytest.mark.parametrize(
    ("reference", "carries"),
    [
        ("torchvision:fcn_resnet50", False),
        ("torchvision:fcn_resnet50/DEFAULT", True),
        ("smp:unet/resnet18", False),
        ("monai:UNet", False),
        ("python:nets:net", False),
        ("hf:nets/b0", True),
        ("export:net.pt2", True),
        ("onnx:net.onnx", True),
        ("torchscript:net.pt", True),
    ],
)
def test_weights_may_be_left_out_where_the_reference_carries_them(reference, carries):
    if carries:
        assert made(reference, weights=None).weights is None
        return
    with pytest.raises(ValidationError, match=r"weights is missing: \w+ nets carry none; set it"):
        made(reference, weights=None)


def test_where_files_lie_is_no_part_of_the_architecture():
    assert made("export:a/net.pt2").architecture == made("export:b/net.pt2").architecture
    assert made("hf:a/net").architecture != made("onnx:a/net").architecture
    assert made("python:nets:net").architecture == "python:nets:net"


def test_arguments_may_be_lists_and_tables():
    arguments = {"channels": [8, 16], "norm": {"name": "batch"}, "bias": False, "n": 1}
    assert made("monai:UNet", arguments=arguments).arguments == arguments


def test_one_size_is_enough():
    with pytest.raises(ValidationError, match="size_px and shortest_px exclude each other"):
        made("monai:UNet", preprocessing={"size_px": [8, 8], "shortest_px": 8})
