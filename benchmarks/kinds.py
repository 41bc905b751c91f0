"""Write a mixed zoo: two small networks with random weights of every kind of reference.

    python benchmarks/kinds.py FOLDER
    otce validate FOLDER/zoo.yaml    # feature dimension, size of the map, preprocessing
    otce run FOLDER/zoo.yaml

Random weights rank nothing; the zoo shows that every kind loads, is listened to and is scored.
Needs all extras: pip install 'otce[torchvision,hf,smp,monai,onnx]'.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cyclopts
import safetensors.torch
import torch
import yaml
from torch import nn
from torch.export import Dim

from otce.datasets.scenes import CLASSES
from otce.zoo.libraries import library

EXAMPLES = Path(__file__).parent.parent / "examples"
N_CLASSES = len(CLASSES)
SIZE_PX = (96, 128)
STATED = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
LABELS = {str(i): name for i, name in enumerate(CLASSES)}
VIT = {
    "image_size": 96,
    "patch_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "out_indices": [1, 2, 3, 4],
}
MIT = {
    "hidden_sizes": [8, 16, 16, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 32,
}


def main(folder: Path, /) -> None:
    """Write the zoo.

    Args:
        folder: where to; made when absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    models = torchvision_nets(folder) | smp_nets(folder) | monai_nets(folder) | hf_nets(folder)
    models |= own_nets(folder)
    drawn = {"count": 6, "size_px": list(SIZE_PX)}
    zoo = {
        "datasets": {city: {"layout": f"scenes:{city}"} | drawn for city in ("alder", "birch")},
        "targets": ["birch"],
        "models": {id_: {"source": "alder"} | model for id_, model in models.items()},
        "sampling": {"pixels": 500, "repetitions": 3},
        "execution": {"store": "store"},
    }
    (folder / "zoo.yaml").write_text(yaml.safe_dump(zoo, sort_keys=False))
    print(f"{len(models)} models in {folder / 'zoo.yaml'}")


def saved(network: nn.Module, path: Path) -> str:
    """Write a state dict; returns its name."""
    state = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    path.write_bytes(safetensors.torch.save(state))
    return path.name


def torchvision_nets(folder: Path) -> dict[str, Any]:
    segmentation = library("torchvision.models.segmentation", "torchvision")
    models = {}
    for name in ("deeplabv3_mobilenet_v3_large", "fcn_resnet50"):
        arguments = {"num_classes": N_CLASSES, "aux_loss": True}
        network = getattr(segmentation, name)(weights=None, weights_backbone=None, **arguments)
        weights = saved(network, folder / f"{name}.safetensors")
        models[name] = {"reference": f"torchvision:{name}", "arguments": arguments}
        models[name]["weights"] = weights
    return models


def smp_nets(folder: Path) -> dict[str, Any]:
    smp = library("segmentation_models_pytorch", "smp")
    models = {}
    for name in ("unet/mobilenet_v2", "segformer/mit_b0"):
        network = smp.create_model(*name.split("/"), encoder_weights=None, classes=N_CLASSES)
        id_ = name.replace("/", "-")
        models[id_] = {
            "reference": f"smp:{name}",
            "arguments": {"classes": N_CLASSES},
            "weights": saved(network, folder / f"{id_}.safetensors"),
            "preprocessing": STATED,
        }
    return models


def monai_nets(folder: Path) -> dict[str, Any]:
    nets = library("monai.networks.nets", "monai")
    models = {}
    for name, arguments in (
        ("UNet", {"channels": [16, 32, 64], "strides": [2, 2]}),
        ("SegResNet", {"init_filters": 8}),
    ):
        given: dict[str, Any] = {"in_channels": 3, "out_channels": N_CLASSES} | arguments
        network = getattr(nets, name)(spatial_dims=2, **given)
        weights = saved(network, folder / f"{name}.safetensors")
        models[name] = {"reference": f"monai:{name}", "arguments": given, "weights": weights}
    return models


def hf_nets(folder: Path) -> dict[str, Any]:
    transformers = library("transformers", "hf")
    models = {}
    for kind, name, entries in (("segformer", "Segformer", MIT), ("beit", "Beit", VIT)):
        class_name = f"{name}ForSemanticSegmentation"
        card = {"model_type": kind, "architectures": [class_name], "id2label": LABELS} | entries
        config = transformers.CONFIG_MAPPING[kind].from_dict(dict(card))
        place = folder / kind
        place.mkdir(exist_ok=True)
        (place / "config.json").write_text(json.dumps(card))
        saved(getattr(transformers, class_name)(config), place / "model.safetensors")
        models[kind] = {"reference": f"hf:{kind}"}
    return models


def own_nets(folder: Path) -> dict[str, Any]:
    """The example nets as code, and as the programs made of them."""
    shutil.copy(EXAMPLES / "nets.py", folder / "nets.py")
    sys.path.insert(0, str(EXAMPLES))
    import nets  # noqa: PLC0415

    image, sizes = torch.rand(1, 3, *SIZE_PX), ({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},)
    models: dict[str, Any] = {}
    for name in ("depthwise", "unet"):
        network = getattr(nets, name)(N_CLASSES).eval()
        for parameter in network.parameters():
            # Fresh biases are all equal, which an ONNX export turns into one that is shared.
            parameter.data += 0.01 * torch.randn_like(parameter)
        program = torch.export.export(network, (image.expand(2, -1, -1, -1),), dynamic_shapes=sizes)
        torch.export.save(program, folder / f"{name}.pt2")
        torch.jit.save(torch.jit.trace(network, image), folder / f"{name}.ts")
        torch.onnx.export(
            network, (image,), folder / f"{name}.onnx", dynamo=False, opset_version=17
        )
        models[f"{name}-python"] = {
            "reference": f"python:nets:{name}",
            "arguments": {"n_classes": N_CLASSES},
            "weights": saved(network, folder / f"{name}.safetensors"),
            "trusted": True,
        }
        models[f"{name}-export"] = {"reference": f"export:{name}.pt2", "trusted": True}
        models[f"{name}-onnx"] = {"reference": f"onnx:{name}.onnx"}
        script = {"reference": f"torchscript:{name}.ts", "trusted": True, "tap": "logits"}
        models[f"{name}-torchscript"] = script
    return models


if __name__ == "__main__":
    cyclopts.run(main)
