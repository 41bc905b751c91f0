"""A network that does not do what evaluation promises is refused, and told how it lies."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from otce.errors import ModelError
from otce.model_config import Preprocessing
from otce.zoo import SourceModel
from otce.zoo.honesty import check_state
from tests.zoo_nets import N_CLASSES, Net, images, seeded


def model_of(network, *, tap="head", n_classes=N_CLASSES):
    return SourceModel(
        "unet", network, Preprocessing(), tap, torch.device("cpu"), n_classes=n_classes
    )


def refused(network, **fields):
    model = model_of(network, **fields)

    def run():
        for image in images():
            model.features([image])[0]

    with pytest.raises(ModelError) as caught:
        run()
    return str(caught.value)


class Lying(Net):
    """Does one thing to its features that evaluation should not do."""

    def __init__(self, lie):
        super().__init__()
        self.lie = lie
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, image):
        return functional.interpolate(
            self.head(self.lie(self, self.body(image))), image.shape[2:], mode="bilinear"
        )


def counting(network, features):
    network.seen += features.mean()
    return features


def growing_tired(network, features):
    network.n_passes = getattr(network, "n_passes", 0) + 1
    return features[..., : -1 if network.n_passes > 4 else None]


def test_an_honest_network_passes():
    model = model_of(seeded())
    check_state(model.network)
    assert [model.features([image])[0].shape for image in images()] == [(1, 8, 32, 48)] * 2


@pytest.mark.parametrize("tap", ["head", "logits"])
@pytest.mark.parametrize(
    "lie",
    [
        lambda _, features: functional.dropout(features, training=True),
        lambda _, features: features + torch.randn_like(features) * 1e-2,
    ],
    ids=["dropout", "noise"],
)
def test_random_numbers_are_found(lie, tap):
    message = refused(seeded(Lying, lie), tap=tap)
    assert message.startswith("model unet: two passes over one image differ by ")
    assert "dropout left on?" in message


def test_batch_statistics_that_go_on_are_found():
    def normalised(network, features):
        return functional.batch_norm(
            features, network.body[1].running_mean, network.body[1].running_var, training=True
        )

    message = refused(seeded(Lying, normalised))
    assert "one pass changed body.1.running_mean, body.1.running_var: batch statistics" in message


def test_any_buffer_that_changes_is_found():
    assert "one pass changed seen: " in refused(seeded(Lying, counting))


def test_another_size_for_a_second_image_is_found():
    message = refused(seeded(Lying, growing_tired))
    assert "gives a map of (8, 32, 47) (dimensions, height, width) where another" in message
    assert "gave (8, 32, 48); its output must depend on the input's size alone" in message


def test_other_sizes_of_images_are_no_lie():
    model = model_of(seeded())
    for size in ((64, 96), (32, 32), (64, 96)):
        assert model.features(images(1, size))[0].shape[2:] == (size[0] // 2, size[1] // 2)


def test_features_that_change_their_number_with_the_size_are_found():
    class Growing(nn.Module):
        def forward(self, image):
            return image.mean(3, keepdim=True).transpose(1, 2)

    model = model_of(Growing().eval(), tap="logits", n_classes=None)
    model.features(images(1, (8, 8)))[0]
    with pytest.raises(ModelError, match=r"map of \(9, 3, 1\) .* gave \(8, 3, 1\)"):
        model.features(images(1, (9, 8)))[0]


@pytest.mark.parametrize("tap", ["head", "logits", "body.0"])
def test_a_wrong_number_of_classes_is_found(tap):
    message = refused(seeded(), tap=tap, n_classes=19)
    assert (
        "tells 5 classes apart, its source data set 19; fix source, or set n_classes: 5" in message
    )


def test_a_network_without_logits_has_no_number_of_classes():
    class Masks(Net):
        def forward(self, image):
            return {"masks": self.body(image).flatten(2)}

    assert model_of(seeded(Masks), tap="body").features(images())[0].shape == (2, 8, 32, 48)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_parameters_that_are_no_numbers_are_found(value):
    network = seeded()
    network.head.bias.data[1] = value
    with pytest.raises(ModelError, match=r"^head.bias hold values that are not finite"):
        check_state(network)


def test_a_mask_of_minus_infinities_is_no_broken_weight():
    network = seeded()
    network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    check_state(network)
    network.register_buffer("mask", torch.tensor([0.0, torch.nan]))
    with pytest.raises(ModelError, match="mask hold values"):
        check_state(network)


def test_a_module_that_refuses_to_evaluate_is_found():
    class Stubborn(nn.Dropout):
        def train(self, _=True):  # noqa: FBT002 - the signature of torch
            return super().train(mode=True)

    network = Net()
    network.body[3] = Stubborn()
    with pytest.raises(ModelError, match=r"body.3 stayed in training mode after eval\(\)"):
        check_state(network.eval())


def test_normalising_by_the_batch_is_found():
    network = Net()
    network.body[1] = nn.BatchNorm2d(8, track_running_stats=False)
    with pytest.raises(ModelError, match=r"body.1 normalise by the statistics of the batch"):
        check_state(network.eval())
    network.body[1] = nn.InstanceNorm2d(8)
    check_state(network.eval())


def test_one_image_at_a_time_gives_the_same_maps():
    network = seeded()
    both = model_of(network).features(images())[0]
    single = model_of(network)
    single.one_by_one = True
    np.testing.assert_allclose(single.features(images())[0], both, atol=1e-6)
