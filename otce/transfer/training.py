"""A transfer that is really made: what is new replaced, a learning rate chosen, trained, judged.

One loop trains every kind: random crops and flips of the labelled target images, AdamW,
cross-entropy over labelled pixels, a rate that falls as a cosine. The rate is the one with the
highest mIoU on a part of these images; then all of them train. Running statistics of normalisation
stay those of the source, but for training from scratch, where there is no source.

Legend: `C` target classes.
"""

import copy
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from otce.datasets.selection import evenly_spaced
from otce.errors import ModelError, OtceError
from otce.measure_config import Training
from otce.transfer.confusion import Confusion
from otce.transfer.crops import Labelled, LabelledImage
from otce.transfer.learner import Learner
from otce.zoo.fresh import evaluate_statistics, replace_head, reset_weights
from otce.zoo.model import SourceModel

TRANSFER_VERSION: Final = 1
"""Raised whenever the same transfer gives other numbers."""


@dataclass(frozen=True)
class Transfer:
    """What a transfer gave.

    Attributes:
        n_parameters: weights of the source model.
        confusion: pixels of the held-back images.
        learning_rate: the chosen one; None where nothing was trained.
        validation_miou: mIoU by which it was chosen, in order of the rates, None where a training
            diverged; empty where there was no choice.
        training_cpu_s: processor time of the training that counts; None where nothing was trained.
    """

    n_parameters: int
    confusion: Confusion
    learning_rate: float | None
    validation_miou: tuple[float | None, ...]
    training_cpu_s: float | None = None


def as_it_is(
    model: SourceModel,
    class_map: Sequence[int],
    held_back: Iterable[LabelledImage],
    n_classes: int,
) -> Transfer:
    """Judge a model that is not trained at all.

    Args:
        model: loaded.
        class_map: target label of each source class, -1 for none.
        held_back: images to judge it on.
        n_classes: C.

    Returns:
        What it gets right.

    Raises:
        ModelError: it fails, or has fewer outputs than the source has classes.
        DataError: an image cannot be read, or none is labelled.
    """
    with _failures_of(model), torch.no_grad():
        learner = Learner(model, tuple(class_map), n_classes)
        return Transfer(_size(model), learner.judged(held_back), None, ())


def transferred(
    model: SourceModel,
    class_map: Sequence[int] | None,
    few: Sequence[LabelledImage],
    held_back: Iterable[LabelledImage],
    n_classes: int,
    training: Training,
) -> Transfer:
    """Train a model on some labelled images and judge it on others.

    Args:
        model: loaded; its network is changed.
        class_map: target label of each source class, -1 for none; looked at to keep the source's
            classifier, which asks for an output of every target class.
        few: images to train on, at least two where there are learning rates to choose from.
        held_back: images to judge it on.
        n_classes: C.
        training: how.

    Returns:
        What it gets right, and how its learning rate was chosen.

    Raises:
        ModelError: it has no head to replace, fails, or diverges at every learning rate.
        DataError: an image cannot be read, or none is labelled.
    """
    with _failures_of(model):
        n_parameters = _size(model)
        data = Labelled.of(few, model.preprocessing)
        torch.manual_seed(training.seed)
        outputs = _made_new(model, training, data.inputs[0][None].to(model.device), n_classes)
        learner = Learner(model, outputs or tuple(class_map or ()), n_classes)
        start = copy.deepcopy(model.network.state_dict())
        tried = _validated(learner, few, data, start, training)
        rate = _best(training.learning_rates, tried)
        started_s = time.process_time()
        if not _trained(learner, data, start, rate, training):
            raise ModelError(
                f"diverges at learning rate {rate:g}; write lower ones in measure.learning_rates"
            )
        training_s = time.process_time() - started_s
        return Transfer(n_parameters, learner.judged(held_back), rate, tried, training_s)


def judging(n_images: int, share: float) -> list[int]:
    """Choose which of the labelled images judge what was trained on the others.

    Args:
        n_images: labelled images, at least two.
        share: of them that judge, 0 to 1.

    Returns:
        Their positions, evenly spaced; at least one, and not all.

    Example:
        >>> judging(8, 0.25), judging(2, 0.25), judging(2, 0.9)
        ([2, 6], [1], [1])
    """
    return evenly_spaced(n_images, min(max(1, round(share * n_images)), n_images - 1))


def _size(model: SourceModel) -> int:
    return sum(weight.numel() for weight in model.network.parameters())


def _made_new(
    model: SourceModel, training: Training, example_BCHW: Tensor, n_classes: int
) -> tuple[int, ...] | None:
    """Make new what the kind asks for; the labels of the outputs, None where they are kept."""
    if model.one_by_one:
        raise ModelError(
            "takes one image at a time and cannot be trained; only zero_shot can be measured of "
            "it; name no others in measure.kinds"
        )
    network = model.network
    for parameter in network.parameters():
        parameter.requires_grad_(training.kind != "head")
    if training.kind == "fine_tune":
        return None
    with torch.no_grad():
        head = replace_head(network, n_classes, example_BCHW)
        if training.kind == "scratch":
            reset_weights(network)
    for parameter in head.parameters():
        parameter.requires_grad_(True)  # noqa: FBT003
    return tuple(range(n_classes))


def _validated(
    learner: Learner,
    few: Sequence[LabelledImage],
    data: Labelled,
    start: dict[str, Tensor],
    training: Training,
) -> tuple[float | None, ...]:
    """The mIoU that each learning rate reaches on a part of the images, trained on the others."""
    if len(training.learning_rates) == 1:
        return ()
    judges = judging(len(few), training.validation)
    part = data.without(judges)

    def tried(rate: float) -> float | None:
        if not _trained(learner, part, start, rate, training):
            return None
        return learner.judged(few[position] for position in judges).mean_iou

    return tuple(tried(rate) for rate in training.learning_rates)


def _best(rates: Sequence[float], tried: Sequence[float | None]) -> float:
    if not tried:
        return rates[0]
    sound = [(miou, rate) for miou, rate in zip(tried, rates, strict=True) if miou is not None]
    if not sound:
        raise ModelError(
            f"diverges at all learning rates {', '.join(f'{rate:g}' for rate in rates)}; write "
            "lower ones in measure.learning_rates"
        )
    # max keeps the first of equal ones.
    return max(sound, key=lambda one: one[0])[1]


def _trained(
    learner: Learner,
    data: Labelled,
    start: dict[str, Tensor],
    rate: float,
    training: Training,
) -> bool:
    """Train from the start; False when it diverges."""
    network = learner.model.network
    network.load_state_dict(start)
    _set_mode(network, training)
    torch.manual_seed(training.seed)
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: (1 + math.cos(math.pi * step / training.steps)) / 2
    )
    batches = data.batches(
        training.batch_size,
        training.crop,
        learner.model.preprocessing.multiple_px,
        torch.Generator().manual_seed(training.seed),
    )
    for _ in range(training.steps):
        loss = learner.loss(*next(batches))
        if not bool(loss.isfinite()):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    return all(bool(value.isfinite().all()) for value in weights) and bool(loss.isfinite())


def _set_mode(network: nn.Module, training: Training) -> None:
    # Features that stay as they are must not depend on what else is in a batch, and in a program
    # it cannot be told which parts gather statistics.
    is_fixed = training.kind == "head" or isinstance(network, torch.jit.ScriptModule)
    network.train(not is_fixed)
    if training.kind != "scratch":
        evaluate_statistics(network)


@contextmanager
def _failures_of(model: SourceModel) -> Iterator[None]:
    """Name the model in whatever is wrong with it."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"model {model.id}: {error}") from error
    except OtceError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(
            f"model {model.id}: no memory to train or judge it ({error}); lower "
            "measure.batch_size or measure.crop, or set preprocessing.size_px"
        ) from error
    except Exception as error:
        # A network is somebody else's code: whatever it raises is this model's failure.
        raise ModelError(
            f"model {model.id}: fails while it is transferred: {type(error).__name__}: {error}; "
            "mend it, set measure.crop to 1, or leave it out"
        ) from error
