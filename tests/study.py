"""Trained nets of two drawn cities, to be transferred to two others and measured."""

from pathlib import Path

import torch
import yaml

from tests.zoo import net

EXAMPLES = Path(__file__).parents[1] / "examples"
NETS = [f"{kind}-{city}" for kind in ("depthwise", "unet") for city in ("alder", "dune")]


def study():
    """Birch is alder in a warmer light, dune is a desert town seen from another camera."""
    small = {"size_px": [64, 96]}
    return {
        "datasets": {
            "alder": {"layout": "scenes:alder", "count": 48},
            "alder-test": {"layout": "scenes:alder", "count": 8, "first": 100},
            "dune": {"layout": "scenes:dune", "count": 48},
            "birch": {"layout": "scenes:birch", "count": 6, **small},
            "birch-test": {"layout": "scenes:birch", "count": 8, "first": 100, **small},
            "ember": {"layout": "scenes:ember", "count": 6, **small},
            "ember-test": {"layout": "scenes:ember", "count": 6, "first": 4, **small},
        },
        "models": {
            **{
                name: {
                    "reference": f"python:nets:{name.partition('-')[0]}",
                    "arguments": {"n_classes": 8},
                    "trusted": True,
                    "weights": str(EXAMPLES / f"weights/demo/{name}.safetensors"),
                    "source": name.rpartition("-")[2],
                }
                for name in NETS
            },
            "script": {"reference": "torchscript:net.ts", "trusted": True, "source": "alder"},
        },
        "targets": ["birch", "ember"],
        "measure": {
            "evaluate": {"birch": "birch-test", "ember": "ember-test", "alder": "alder-test"},
            "kinds": ["zero_shot", "head", "scratch"],
            "shots": [5],
            "seeds": [0],
            "steps": 20,
            "short_steps": 3,
            "batch_size": 4,
            "learning_rates": {"head": [1e-3, 1e-2], "scratch": [4e-3]},
        },
        "execution": {
            "store": "store",
            "run_id": "test",
            "workers": 2,
            "python_path": [str(EXAMPLES)],
        },
    }


def written(folder, config):
    torch.manual_seed(0)
    torch.jit.trace(net().eval(), torch.zeros(1, 3, 64, 96)).save(folder / "net.ts")
    (folder / "zoo.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "zoo.yaml"
