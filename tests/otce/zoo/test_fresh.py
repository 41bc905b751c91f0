"""Networks made ready to train: what is new is new, what stays stays."""

import pytest
import torch
from torch import nn

from otce.errors import ModelError
from otce.zoo.fresh import evaluate_statistics, replace_head, reset_weights
from tests.zoo_nets import Net, seeded

EXAMPLE = torch.zeros(1, 3, 16, 24)


class Up(nn.Module):
    """A head that enlarges its map."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, 2, 1)
        self.head = nn.ConvTranspose2d(4, 5, 2, 2, bias=False)

    def forward(self, image):
        return self.head(self.body(image))


@pytest.mark.parametrize("make", [Net, Up])
@torch.no_grad()
def test_a_new_head_is_of_the_same_kind_with_other_weights_and_classes(make):
    network = seeded(make)
    old, body = network.head, network.body
    new = replace_head(network, 3, torch.randn_like(EXAMPLE))
    assert network.head is new
    assert network.body is body
    assert type(new) is type(old)
    assert (new.kernel_size, new.stride, new.bias is None) == (
        old.kernel_size,
        old.stride,
        old.bias is None,
    )
    assert network(EXAMPLE).shape == (1, 3, 16, 24)


@torch.no_grad()
def test_a_network_whose_classes_are_fixed_elsewhere_keeps_no_new_head():
    class Cut(Net):
        def forward(self, image):
            return super().forward(image)[:, :5]

    told = "new final classifier head of 7 classes it does not give 7 logits; only zero_shot and"
    with pytest.raises(ModelError, match=told):
        replace_head(seeded(Cut), 7, torch.randn_like(EXAMPLE))


@torch.no_grad()
def test_without_a_final_classifier_there_is_nothing_to_replace():
    class Scaled(Net):
        def forward(self, image):
            return super().forward(image) * 2

    with pytest.raises(ModelError, match="0 convolutions give the logits"):
        replace_head(seeded(Scaled), 3, torch.randn_like(EXAMPLE))


def test_torchscript_says_what_can_be_measured_of_it():
    script = torch.jit.trace(seeded(), EXAMPLE)
    with pytest.raises(ModelError, match="only zero_shot and fine_tune can be measured"):
        replace_head(script, 3, EXAMPLE)


def test_new_weights_owe_nothing_to_the_old_ones():
    states = []
    for start in (0, 1):
        torch.manual_seed(start)
        network = Net()
        network(torch.randn(4, 3, 16, 24))  # moves running statistics
        torch.manual_seed(7)
        reset_weights(network)
        states.append(network.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert states[0]["body.1.running_mean"].abs().max() == 0


def test_weights_that_no_module_makes_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    network.embedding = nn.Parameter(torch.zeros(4))
    with pytest.raises(ModelError, match="its weights embedding cannot be made anew"):
        reset_weights(network)


def test_statistics_stay_while_dropout_is_at_work():
    network = seeded().train()
    evaluate_statistics(network)
    before = network.body[1].running_mean.clone()
    network(torch.randn(4, 3, 16, 24))
    assert torch.equal(network.body[1].running_mean, before)
    assert network.body[3].training
