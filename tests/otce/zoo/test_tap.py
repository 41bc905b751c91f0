"""The head is found by number; a tap that cannot be meant is refused with what to name instead."""

import importlib.util
import re
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from otce.errors import ModelError
from otce.zoo.outputs import logits_of
from otce.zoo.tap import Tap, resolve, run

N_CLASSES = 5
IMAGE = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    """A backbone, an auxiliary head, and a head whose output is resized to the logits."""

    def __init__(self, head, *, align_corners=False):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU())
        self.head = head
        self.auxiliary = nn.Conv2d(8, N_CLASSES, 1)
        self.align_corners = align_corners

    def forward(self, image):
        features = self.backbone(image)
        return interpolate(
            self.head(features),
            image.shape[2:],
            mode="bilinear",
            align_corners=self.align_corners,
        )


class SummedHalves(nn.Module):
    """Like lraspp: the sum of two classifiers is the logits, and neither alone is."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Conv2d(3, N_CLASSES, 1), nn.Conv2d(3, N_CLASSES, 1)

    def forward(self, image):
        return self.low(image) + self.high(image)


def built(make, *args, **kwargs):
    torch.manual_seed(0)
    return make(*args, **kwargs).eval()


def head_features(network):
    """What `head` gives, and where it was found."""
    with torch.inference_mode():
        tap = resolve(network, "head", IMAGE)
        return tap, run(network, tap, IMAGE)[0]


@pytest.mark.parametrize(
    "head",
    [
        nn.Conv2d(8, N_CLASSES, 1),
        nn.Conv2d(8, N_CLASSES, 3, padding=1),
        nn.ConvTranspose2d(8, N_CLASSES, 2, stride=2),
    ],
    ids=["1x1", "3x3", "transposed"],
)
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_head_is_found_and_its_input_taken(head, align_corners):
    network = built(Net, head, align_corners=align_corners)
    tap, features = head_features(network)
    assert tap == Tap("head", "input")
    torch.testing.assert_close(features, network.backbone(IMAGE), rtol=0, atol=0)


def test_the_head_is_found_inside_blocks():
    head = nn.Sequential(nn.Conv2d(8, N_CLASSES, 1), nn.ReLU(), nn.Conv2d(N_CLASSES, N_CLASSES, 1))
    tap, features = head_features(built(Net, head))
    assert tap == Tap("head.2", "input")
    assert features.min() == 0


def test_an_auxiliary_head_that_runs_last_is_not_taken():
    class AuxiliaryLast(Net):
        def forward(self, image):
            features = self.backbone(image)
            logits = interpolate(self.head(features), image.shape[2:], mode="bilinear")
            return {"out": logits, "aux": self.auxiliary(features)}

    tap, _ = head_features(built(AuxiliaryLast, nn.Conv2d(8, N_CLASSES, 1)))
    assert tap.path == "head"


@pytest.mark.parametrize(("name", "n_features"), [("depthwise", 64), ("unet", 32)])
def test_heads_of_the_example_nets_are_their_classifiers(name, n_features):
    path = Path(__file__).parents[3] / "examples" / "nets.py"
    spec = importlib.util.spec_from_file_location("nets_of_the_examples", path)
    nets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nets)
    tap, features = head_features(built(getattr(nets, name), N_CLASSES))
    assert tap.path == "classifier"
    assert features.shape[1] == n_features


def test_two_halves_summed_are_refused_with_their_distances():
    network = built(SummedHalves)
    with pytest.raises(ModelError) as caught:
        head_features(network)
    found = re.fullmatch(
        r"0 convolutions give the logits, so there is no single head; candidates with their "
        r"distance from the logits: low \((\d\.\d\d)\), high \((\d\.\d\d)\); use logits, or "
        r"name as tap a module whose output is a feature map, such as none here",
        str(caught.value),
    )
    assert min(map(float, found.groups())) > 0.1


def test_two_convolutions_that_give_the_logits_are_refused():
    class Twins(SummedHalves):
        def forward(self, image):
            self.high.load_state_dict(self.low.state_dict())
            return torch.maximum(self.low(image), self.high(image))

    with pytest.raises(ModelError, match=r"^2 convolutions .* low \(0.00\), high \(0.00\)"):
        head_features(built(Twins))


def test_a_network_without_a_convolution_of_its_classes_is_refused():
    with pytest.raises(ModelError, match=r"0 convolutions .* logits: none; use logits, or name"):
        head_features(nn.Upsample(scale_factor=2))


def test_where_there_are_no_logits_the_last_maps_are_named():
    """Mask classifiers return queries and masks; any of their maps can still be listened to."""

    class Masks(Net):
        def forward(self, image):
            return {"masks": self.backbone(image).flatten(2)}

    network = built(Masks, nn.Identity())
    with pytest.raises(ModelError) as caught:
        head_features(network)
    assert "returned a dict without logits of pixels, so it has no head; name as tap" in str(
        caught.value
    )
    assert "such as backbone (8 at 8x12)" in str(caught.value)
    assert run(network, Tap("backbone", "output"), IMAGE)[0].shape == (1, 8, 8, 12)


def test_scripted_modules_give_logits_only():
    network = torch.jit.script(built(nn.Conv2d, 3, 5, 1))
    with pytest.raises(ModelError, match="TorchScript refuse hooks; set tap: logits, or export"):
        resolve(network, "head", IMAGE)
    assert run(network, resolve(network, "logits", IMAGE), IMAGE)[0].shape == (1, 5, 32, 48)


def test_logits_are_a_tap():
    network = built(Net, nn.Conv2d(8, N_CLASSES, 1))
    tap = resolve(network, "logits", IMAGE)
    assert tap == Tap("", "output")
    torch.testing.assert_close(run(network, tap, IMAGE)[0], network(IMAGE))


def test_a_module_path_taps_its_output():
    network = built(Net, nn.Conv2d(8, N_CLASSES, 1))
    tap = resolve(network, "backbone.0", IMAGE)
    assert tap == Tap("backbone.0", "output")
    with torch.inference_mode():
        torch.testing.assert_close(run(network, tap, IMAGE)[0], network.backbone[0](IMAGE))


def test_a_map_is_the_modules_own_though_the_next_one_writes_into_it():
    """`ReLU(inplace=True)` after a tapped convolution left only what it had kept.

    Other tests missed it, for their networks wrote nowhere; the nets of the examples do.
    """
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    with torch.inference_mode():
        found = run(network, Tap("0", "output"), IMAGE)[0]
        torch.testing.assert_close(found, network[0](IMAGE))
    assert found.min() < 0


@pytest.mark.parametrize(
    ("tap", "close"), [("backbone.00", "backbone.0"), ("hed", "head"), ("auxilary", "auxiliary")]
)
def test_an_unknown_path_is_refused_with_close_ones(tap, close):
    network = built(Net, nn.Conv2d(8, N_CLASSES, 1))
    message = f"tap '{tap}' is no module of the network; close to it: .*{close}.*; or use head or"
    with pytest.raises(ModelError, match=message):
        resolve(network, tap, IMAGE)


def test_a_path_like_no_other_is_refused_with_the_last_ones():
    with pytest.raises(ModelError, match="close to it: 0, 1; or use"):
        resolve(nn.Sequential(nn.ReLU(), nn.ReLU()), "zzz", IMAGE)


def test_a_tap_that_gives_no_map_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    with pytest.raises(ModelError, match=r"tap '1' gives \(1, 3072\); expected a feature map"):
        run(network, Tap("1", "output"), IMAGE)[0]


def test_a_tap_that_gives_no_tensor_is_refused():
    class Pair(nn.Module):
        def forward(self, image):
            return image, image

    with pytest.raises(ModelError, match="tap '0' gives tuple; expected a feature map"):
        run(nn.Sequential(Pair(), nn.Identity()), Tap("0", "output"), IMAGE)[0]


@pytest.mark.parametrize("times", [0, 2])
def test_a_module_must_run_once(times):
    class Repeating(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Identity()

        def forward(self, image):
            for _ in range(times):
                image = self.block(image)
            return image

    with pytest.raises(ModelError, match=f"tap 'block' ran {times} times in one forward pass"):
        run(Repeating(), Tap("block", "output"), IMAGE)[0]


@pytest.mark.parametrize("tap", ["head", "backbone.0", "logits"])
def test_no_hook_stays(tap):
    network = built(Net, nn.Conv2d(8, N_CLASSES, 1))
    with torch.inference_mode():
        run(network, resolve(network, tap, IMAGE), IMAGE)[0]
        with pytest.raises(RuntimeError):
            run(network, Tap("head", "input"), torch.zeros(1, 4, 8, 8))[0]
    assert not any(module._forward_hooks for module in network.modules())


LOGITS = torch.zeros(1, 2, 3, 4)
Output = namedtuple("Output", "loss logits")  # noqa: PYI024 - what libraries return


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"aux": torch.ones(1), "out": LOGITS},
        {"logits": LOGITS},
        {"out": {"logits": LOGITS}},
        SimpleNamespace(logits=LOGITS),
        Output(loss=torch.ones(1), logits=LOGITS),
        (LOGITS, torch.ones(1)),
        [LOGITS],
        ({"out": LOGITS},),
    ],
    ids=lambda output: type(output).__name__,
)
def test_logits_are_found_in_whatever_networks_return(output):
    assert logits_of(output) is LOGITS


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 10), r"a tensor of shape \(2, 10\); expected logits \(batch, classes"),
        ({"masks": LOGITS}, "returned a dict without logits"),
        ((), "returned a tuple without logits"),
        (None, "returned a NoneType without logits"),
        ("logits", "returned a str without logits"),
    ],
)
def test_outputs_without_logits_are_refused(output, message):
    with pytest.raises(ModelError, match=message):
        logits_of(output)
