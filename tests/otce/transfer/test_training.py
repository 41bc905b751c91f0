"""Transfers that are really made: what is trained, how its learning rate is chosen, what counts."""

import dataclasses

import numpy as np
import pytest
import torch

from otce.config import ScenesDataset
from otce.datasets import open_dataset
from otce.errors import ModelError
from otce.measure_config import Training
from otce.transfer.training import as_it_is, transferred
from tests.zoo_nets import Net, loaded, saved, seeded

CITY = open_dataset(ScenesDataset(layout="scenes:birch", count=8, size_px=(32, 48)))
IMAGES = [(CITY.image(item), CITY.label(item)) for item in CITY.items]
FEW, HELD_BACK = IMAGES[:4], IMAGES[4:]
N_CLASSES = len(CITY.classes)
TRAINING = Training(
    kind="head",
    seed=0,
    steps=12,
    batch_size=4,
    crop=0.75,
    weight_decay=1e-4,
    validation=0.25,
    learning_rates=(0.03,),
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As in a run, where every transfer computes with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    return saved(seeded(), folder / "a"), saved(Net(), folder / "b")


def model(uri):
    return loaded("python:tests.zoo_nets:Net", trusted=True, weights=uri)


def made(uri, class_map=(), network=None, **changes):
    training = dataclasses.replace(TRAINING, **changes)
    chosen = network or model(uri)
    return transferred(chosen, class_map, FEW, iter(HELD_BACK), N_CLASSES, training)


def same(a, b):
    return all(
        np.array_equal(getattr(a.confusion, name), getattr(b.confusion, name))
        for name in ("right", "labelled", "predicted")
    ) and (a.learning_rate, a.validation_miou) == (b.learning_rate, b.validation_miou)


@pytest.mark.parametrize("kind", ["head", "fine_tune_new_head", "scratch"])
def test_equal_transfers_give_equal_numbers_and_other_seeds_other_ones(kind, weights):
    first, again, other = (made(weights[0], kind=kind, seed=seed) for seed in (5, 5, 6))
    assert same(first, again)
    assert not same(first, other)


def test_training_helps(weights):
    none = made(weights[0], learning_rates=(1e-12,))
    some = made(weights[0], kind="fine_tune_new_head", steps=40)
    assert some.confusion.mean_iou > none.confusion.mean_iou + 0.1


def test_a_retrained_head_leaves_everything_else_as_it_is(weights):
    chosen, before = model(weights[0]), seeded().state_dict()
    made(weights[0], network=chosen)
    after = chosen.network.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name for name in after if name.startswith("body.")}.isdisjoint(changed)
    assert after["head.weight"].shape[0] == N_CLASSES


@pytest.mark.parametrize(
    ("kind", "statistics_stay", "outputs"),
    [
        ("fine_tune", True, 5),
        ("fine_tune_new_head", True, N_CLASSES),
        ("scratch", False, N_CLASSES),
    ],
)
def test_only_training_from_scratch_gathers_statistics_of_its_own(
    kind, statistics_stay, outputs, weights
):
    chosen = model(weights[0])
    before = {n: v.clone() for n, v in chosen.network.state_dict().items()}
    label_map = (0, 1, 2, 3, 4)
    few = [(image, np.minimum(label, 4)) for image, label in FEW]
    training = dataclasses.replace(TRAINING, kind=kind)
    transferred(chosen, label_map, few, few, 5 if kind == "fine_tune" else N_CLASSES, training)
    after = chosen.network.state_dict()
    assert torch.equal(before["body.1.running_mean"], after["body.1.running_mean"]) == (
        statistics_stay
    )
    assert not torch.equal(before["body.0.weight"], after["body.0.weight"])
    assert after["head.weight"].shape[0] == outputs


def test_models_of_one_architecture_end_alike_from_scratch_and_only_then(weights):
    kinds = ("scratch", "head")
    alike = [same(*(made(uri, kind=kind) for uri in weights)) for kind in kinds]
    assert alike == [True, False]


def test_the_rate_with_the_highest_miou_on_the_validation_images_is_chosen(weights):
    rates = (1e-12, 0.03, 1e-11)
    found = made(weights[0], learning_rates=rates)
    assert found.learning_rate == 0.03
    assert found.validation_miou[1] == max(found.validation_miou)
    # What counts is trained on all images with that rate, as if it had been the only one.
    assert same(
        dataclasses.replace(found, validation_miou=()), made(weights[0], learning_rates=(0.03,))
    )


def test_of_equally_good_rates_the_first_is_taken(weights):
    found = made(weights[0], learning_rates=(1e-12, 1e-13))
    assert found.validation_miou[0] == found.validation_miou[1]
    assert found.learning_rate == 1e-12


def test_the_images_that_choose_the_rate_are_not_trained_on_by_the_trials(weights):
    """A validation image of labels nobody else has cannot be learned while it only judges."""
    few = [(image, np.minimum(label, 3)) for image, label in FEW]
    red = np.full_like(few[2][0], (255, 0, 0))  # the judge of four is the third
    few[2] = red, np.full_like(few[2][1], N_CLASSES - 1)
    training = dataclasses.replace(TRAINING, steps=40, learning_rates=(0.03, 0.01))
    found = transferred(model(weights[0]), (), few, few, N_CLASSES, training)
    assert found.validation_miou == (0.0, 0.0)
    assert found.confusion.class_iou[N_CLASSES - 1] > 0


def test_a_rate_that_diverges_is_not_chosen_and_said_to_be_none(weights):
    found = made(weights[0], kind="fine_tune_new_head", learning_rates=(1e30, 1e-3))
    assert found.learning_rate == 1e-3
    assert found.validation_miou[0] is None
    for rates in ((1e30, 1e29), (1e30,)):
        with pytest.raises(ModelError, match=r"model unet: diverges at .*lower ones in measure"):
            made(weights[0], kind="fine_tune_new_head", learning_rates=rates)


def test_outputs_count_for_the_target_classes_they_stand_for(weights):
    chosen = model(weights[0])
    plain = as_it_is(chosen, (0, 1, 2, 3, 4), HELD_BACK, N_CLASSES).confusion
    turned = as_it_is(chosen, (4, 3, 2, -1, 0), HELD_BACK, N_CLASSES).confusion
    assert turned.predicted[:, [4, 3, 2, 0]].tolist() == plain.predicted[:, [0, 1, 2, 4]].tolist()
    assert turned.predicted[:, 1].tolist() == [0] * len(HELD_BACK)
    assert turned.labelled.tolist() == plain.labelled.tolist()


def test_a_kept_head_learns_labels_at_the_outputs_that_stand_for_them(weights):
    """Outputs in another order than the target's classes, one of which stands for none."""
    few = [(image, np.minimum(label, 3)) for image, label in FEW]
    training = dataclasses.replace(TRAINING, kind="fine_tune", steps=40)
    found = transferred(model(weights[0]), (3, -1, 2, 1, 0), few, few, 4, training)
    start = as_it_is(model(weights[0]), (3, -1, 2, 1, 0), few, 4)
    assert found.confusion.pixel_accuracy > max(0.6, start.confusion.pixel_accuracy + 0.1)


def test_a_model_with_fewer_outputs_than_source_classes_is_refused(weights):
    with pytest.raises(ModelError, match="gives 5 logits and its source data set has 6 classes"):
        as_it_is(model(weights[0]), (0, 1, 2, 3, 4, 5), HELD_BACK, N_CLASSES)


def test_a_network_that_fails_is_named_with_what_may_help(weights):
    chosen = model(weights[0])

    def fail(*_):
        raise ValueError("not so small")

    chosen.network.forward = fail
    with pytest.raises(ModelError, match=r"model unet: fails while .*ValueError: not so small"):
        as_it_is(chosen, (0,), HELD_BACK, N_CLASSES)


def test_a_program_is_judged_and_tuned_with_its_own_head_and_gets_no_other(tmp_path):
    """A script in training mode would gather statistics unseen."""
    path = tmp_path / "net.ts"
    torch.jit.script(seeded()).save(path)
    chosen = loaded(f"torchscript:{path}", trusted=True, tap="logits")
    assert as_it_is(chosen, (0, 1), HELD_BACK, N_CLASSES).confusion.labelled.sum() > 0
    with pytest.raises(ModelError, match="model unet: its modules are TorchScript's"):
        made("", network=chosen)
    few = [(image, np.minimum(label, 4)) for image, label in FEW]
    before = {n: v.clone() for n, v in chosen.network.state_dict().items()}
    training = dataclasses.replace(TRAINING, kind="fine_tune")
    transferred(chosen, (0, 1, 2, 3, 4), few, few, 5, training)
    after = chosen.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "head.weight" in changed
    assert not any("running" in name for name in changed)
