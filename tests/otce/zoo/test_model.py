"""Nothing runs but a trusted factory, and only with weights that fit it."""

import pickle
import sys
from itertools import count
from pathlib import Path

import pytest
import safetensors.torch
import torch

from otce.errors import ModelError, StoreError
from otce.fingerprint import digest
from otce.model_config import ModelConfig
from otce.zoo import SourceModel, load_model, model_identity

CODE = """
from pathlib import Path
from torch import nn

Path(__file__).with_suffix(".imported").touch()
not_callable = 3


def network(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.Dropout(),
                         nn.Conv2d(width, 2, 1))


def halved():
    return network().half()


def junk():
    return ["no network"]


def raising():
    raise KeyError("backbone")


def calling(path):
    Path(path).touch()
"""
NUMBERS = count()
MISMATCH = "SHA-256 {found}, not the declared weights_digest {declared}; fix whichever is wrong"


class Zoo:
    """A folder with one module and its weights, the module's name used once only."""

    def __init__(self, folder):
        self.folder, self.name = folder, f"nets_of_test_model_{next(NUMBERS)}"
        self.module = folder / f"{self.name}.py"
        self.module.write_text(CODE)
        self.weights = folder / "weights.safetensors"
        torch.manual_seed(1)
        self.state = {
            "0.weight": torch.randn(4, 3, 3, 3),
            "0.bias": torch.randn(4),
            "1.weight": torch.rand(4),
            "1.bias": torch.randn(4),
            "1.running_mean": torch.randn(4),
            "1.running_var": torch.rand(4) + 1,
            "1.num_batches_tracked": torch.tensor(7),
            "3.weight": torch.randn(2, 4, 1, 1),
            "3.bias": torch.randn(2),
        }
        self.save(self.state)

    def save(self, state):
        self.weights.write_bytes(safetensors.torch.save(state))

    @property
    def was_imported(self):
        return self.module.with_suffix(".imported").exists() or self.name in sys.modules

    def config(self, function="network", **fields):
        given = {"trusted": True, "weights": str(self.weights), "source": "bay"} | fields
        return ModelConfig(reference=f"python:{self.name}:{function}", **given)

    def load(self, function="network", **fields):
        return load_model("unet", self.config(function, **fields), python_path=[str(self.folder)])

    def digests(self, **fields):
        identity = model_identity(self.config(**fields), [str(self.folder)])
        return identity.weights_digest, identity.code_digest


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Zoo(tmp_path)
    yield made
    sys.modules.pop(made.name, None)


def refused(zoo, *args, **fields):
    with pytest.raises(ModelError) as caught:
        zoo.load(*args, **fields)
    assert str(caught.value).startswith("model unet: ")
    return str(caught.value)


def test_weights_are_those_of_the_file_and_the_network_is_ready(zoo):
    model = zoo.load()
    assert isinstance(model, SourceModel)
    for name, tensor in zoo.state.items():
        assert torch.equal(model.network.state_dict()[name], tensor), name
    assert not any(module.training for module in model.network.modules())
    assert not any(weights.requires_grad for weights in model.network.parameters())
    assert (model.id, model.tap, model.device.type) == ("unet", "head", "cpu")


def test_arguments_reach_the_factory(zoo):
    assert "0.bias has shape (4,), expected (6,)" in refused(zoo, arguments={"width": 6})


@pytest.mark.parametrize("function", ["network", "halved"])
def test_half_precision_runs_in_single_precision(zoo, function):
    zoo.save({name: t.half() if t.is_floating_point() else t for name, t in zoo.state.items()})
    network = zoo.load(function).network
    assert {weights.dtype for weights in network.parameters()} == {torch.float32}
    assert torch.equal(network[3].bias, zoo.state["3.bias"].half().float())


def test_code_that_is_not_trusted_does_not_run(zoo):
    message = refused(zoo, trusted=False)
    assert "runs code of yours; read it and set trusted: true for this model" in message
    with pytest.raises(ModelError, match="set trusted: true"):
        zoo.digests(trusted=False)
    assert not zoo.was_imported


def test_a_factory_that_is_missing_is_refused_with_close_names(zoo):
    assert "the module has no function netwerk; it has network" in refused(zoo, "netwerk")


def test_a_module_that_cannot_be_imported_is_refused(zoo):
    zoo.module.write_text("import no_such_library_at_all")
    message = refused(zoo)
    assert f"cannot import {zoo.name} (ModuleNotFoundError: No module named 'no_such" in message
    assert f"looked for in {zoo.folder} and in the environment" in message


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("raising", {}, "called with {} failed: KeyError: 'backbone'; mend the factory"),
        ("network", {"depth": 3}, "called with {'depth': 3} failed: TypeError: network() got an"),
        ("not_callable", {}, "failed: TypeError: 'int' object is not callable"),
        ("junk", {}, "returned a list; it must return a torch.nn.Module"),
    ],
)
def test_a_factory_that_makes_no_network_is_refused(zoo, function, arguments, message):
    assert message in refused(zoo, function, arguments=arguments)


def test_weights_that_do_not_fit_are_listed(zoo):
    zoo.state["3.bias"] = torch.zeros(7)
    zoo.state["0.weight"] = torch.zeros(4, 3, 1, 1)
    zoo.state["decoder.weight"] = torch.zeros(1)
    del zoo.state["1.bias"]
    zoo.save(zoo.state)
    message = refused(zoo)
    for problem in (
        "0.weight has shape (4, 3, 1, 1), expected (4, 3, 3, 3)",
        "1.bias is missing",
        "3.bias has shape (7,), expected (2,)",
        "decoder.weight is unknown",
        "use the weights of this architecture or other arguments",
    ):
        assert problem in message


def test_batch_counters_may_be_missing(zoo):
    del zoo.state["1.num_batches_tracked"]
    zoo.save(zoo.state)
    assert zoo.load().network[1].num_batches_tracked == 0


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_weights_that_are_not_finite_are_refused(zoo, name, value):
    zoo.state[name].view(-1)[0] = value
    zoo.save(zoo.state)
    assert f"{name} holds values that are not finite" in refused(zoo)


class Canary:
    """A pickle that touches a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("save", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_a_pickle_is_refused_and_never_executed(zoo, tmp_path, save):
    canary = tmp_path / "executed"
    with zoo.weights.open("wb") as file:
        save({"0.weight": Canary(canary)}, file)
    message = refused(zoo)
    assert f"{zoo.weights} is no state dict that can be loaded without running code" in message
    assert "with safetensors.torch.save_file" in message
    assert not canary.exists()


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_cut_short_is_refused(zoo, keep):
    zoo.weights.write_bytes(zoo.weights.read_bytes()[:keep])
    assert "is neither a safetensors file (" in refused(zoo)


def test_weights_that_are_not_there_are_an_error_of_the_store(zoo):
    zoo.weights.unlink()
    with pytest.raises(StoreError, match="no such object"):
        zoo.load()


def test_weights_of_another_digest_are_refused(zoo):
    found, declared = digest(zoo.weights.read_bytes()), "ab" * 32
    message = refused(zoo, weights_digest=declared)
    assert MISMATCH.format(found=found, declared=declared) in message
    assert zoo.load(weights_digest=found).id == "unet"


def test_digests_are_those_of_the_weights_and_the_code(zoo):
    weights, code = zoo.digests()
    assert weights == digest(zoo.weights.read_bytes())
    assert code == digest(CODE.encode())
    zoo.state["3.bias"][0] += 1
    zoo.save(zoo.state)
    assert zoo.digests()[0] != weights
    assert zoo.digests()[1] == code


def test_changed_code_is_another_model(zoo):
    weights, code = zoo.digests()
    zoo.module.write_text(CODE.replace("padding=1", "padding=2"))
    assert zoo.digests() == (weights, digest(zoo.module.read_bytes()))
    assert zoo.digests()[1] != code


def test_a_declared_digest_saves_reading_the_weights(zoo):
    zoo.weights.unlink()
    assert zoo.digests(weights_digest="cd" * 32)[0] == "cd" * 32
