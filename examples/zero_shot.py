"""Score checkpoints trained on Cityscapes on CamVid as they are, without any training.

    python examples/zero_shot.py [CHECKPOINT ...] [--frames N] [--every-frame]

The table is a check of `espnetv2.py`: a net that is put together wrongly still loads its weights,
but does not see. mIoU is in percent, over the classes that occur in the labels of a sequence.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch.nn.functional import interpolate

from otce.dataset_config import CamvidDataset
from otce.datasets import Dataset, Item, open_dataset
from otce.errors import DataError, ModelError, OtceError
from otce.model_config import ModelConfig, PreprocessingChoice
from otce.zoo import SourceModel, load_model
from otce.zoo.preprocess import to_input

SHARED: Final = Path(__file__).parents[2] / "shared/data"
SEQUENCES: Final = ("0001TP", "0006R0", "0016E5", "Seq05VD")
CLASSES: Final = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign_symbol", "fence", "car", "pedestrian", "bicyclist"),
)
CITYSCAPES_AS_CAMVID: Final = (
    *("road", "pavement", "building", "building", "fence", "pole", "sign_symbol", "sign_symbol"),
    *("tree", "tree", "sky", "pedestrian", "bicyclist", "car", "car", "car", "car"),
    *("bicyclist", "bicyclist", "background"),
)
"""The CamVid class of Cityscapes' trainIds 0..18, and the checkpoints' class 19, always wrong.

Wall counts as building, terrain as tree, truck, bus and train as car, rider and motorcycle as
bicyclist, traffic lights as signs.
"""
INPUT_SIZES_PX: Final = {"512x256": (256, 352), "1024x512": (512, 672)}
"""Height and width in the 4:3 of CamVid, as high as the Cityscapes images of the training."""
_NAME: Final = re.compile(r"espnetv2_s_(\d\.\d)_city_(\d+x\d+)\.pth")

console = Console(highlight=False, soft_wrap=True)


def main(
    *checkpoints: Path,
    data: Path = SHARED / "camvid",
    frames: int = 12,
    every_frame: bool = False,
    threads: int = 1,
) -> None:
    """Print the zero-shot mIoU of checkpoints on the CamVid sequences.

    Args:
        checkpoints: files named as published, like espnetv2_s_0.5_city_512x256.pth; the eight in
            ../shared/data/weights/espnetv2 when none is named.
        data: the CamVid folder.
        frames: evenly spaced frames a sequence.
        every_frame: all frames, whatever `frames` says.
        threads: of torch.
    """
    torch.set_num_threads(threads)
    paths = checkpoints or sorted((SHARED / "weights/espnetv2").glob("*.pth"))
    try:
        _print_table(paths, data, None if every_frame else frames)
    except OtceError as error:
        console.print(f"[red]{type(error).__name__}[/]: {error}")
        sys.exit(2)


def checkpoint_config(path: Path, tap: str = "logits") -> ModelConfig:
    """Say how the network that a file's name tells of is built.

    Args:
        path: a state dict, espnetv2_s_<width>_city_<W>x<H>.pth.
        tap: where features are taken.

    Returns:
        The model, as a configuration would name it.

    Raises:
        ModelError: the name tells no width or size.
    """
    named = _NAME.fullmatch(path.name)
    if named is None or named[2] not in INPUT_SIZES_PX:
        raise ModelError(
            f"{path.name}: no espnetv2_s_<width>_city_<W>x<H>.pth with a size of "
            f"{', '.join(INPUT_SIZES_PX)}; name the file as it was published"
        )
    return ModelConfig(
        reference="python:espnetv2:espnetv2",
        arguments={"width": float(named[1]), "n_classes": len(CITYSCAPES_AS_CAMVID)},
        trusted=True,
        weights=str(path),
        source="cityscapes",
        preprocessing=PreprocessingChoice(size_px=INPUT_SIZES_PX[named[2]]),
        tap=tap,
    )


def load_checkpoint(path: Path, tap: str = "logits") -> SourceModel:
    """Build that network and load the file into it, strictly.

    Args:
        path: see `checkpoint_config`.
        tap: where features are taken.

    Returns:
        The model.

    Raises:
        ModelError: the name tells no width or size, or the file cannot be read or does not fit.
    """
    config = checkpoint_config(path, tap)
    return load_model(path.stem, config, python_path=[str(Path(__file__).parent)])


def sequence(data: Path, name: str, frames: int | None = None) -> Dataset:
    """Open a CamVid sequence.

    Args:
        data: the CamVid folder.
        name: one of `SEQUENCES`.
        frames: evenly spaced frames of it; all when None.

    Returns:
        The data set, with class ids in the order of `CLASSES`.
    """
    config = CamvidDataset(layout=f"camvid:{data}", sequences=(name,))
    return open_dataset(config, items=evenly_spaced(open_dataset(config).items, frames))


def evenly_spaced(items: Sequence[Item], count: int | None) -> Sequence[Item]:
    """Take every n-th item.

    Args:
        items: in the order of time.
        count: how many; none or more than there are: all.

    Returns:
        The first item and those at a constant distance after it.
    """
    if count is None or count >= len(items):
        return items
    if count < 1:
        raise DataError(f"{count} frames; ask for at least 1")
    return items[:: len(items) // count][:count]


@torch.inference_mode()
def confusion(checkpoint: SourceModel, dataset: Dataset) -> NDArray[np.int64]:
    """Count labelled pixels by their label and by what the network sees.

    Args:
        checkpoint: a network of Cityscapes classes.
        dataset: a CamVid sequence.

    Returns:
        (11, 12) pixels, a row for each label, the last column for background.
    """
    shape = len(CLASSES), len(CLASSES) + 1
    # One class beyond those of the labels: a background that is always wrong.
    lookup = np.array([(*CLASSES, "background").index(name) for name in CITYSCAPES_AS_CAMVID])
    counts = np.zeros(shape, dtype=np.int64)
    for item in dataset.items:
        label, image = dataset.label(item), dataset.image(item)
        input_BCHW = to_input([image], checkpoint.preprocessing, torch.device("cpu"))
        logits = interpolate(checkpoint.network(input_BCHW), label.shape, mode="bilinear")
        seen = lookup[logits[0].argmax(0).numpy()]
        is_labelled = label >= 0
        pairs = label[is_labelled].astype(np.int64) * shape[1] + seen[is_labelled]
        counts += np.bincount(pairs, minlength=counts.size).reshape(shape)
    return counts


def mean_iou(counts: NDArray[np.int64]) -> float:
    """Average intersection over union over the classes that occur in the labels.

    Args:
        counts: pixels by label (rows) and by what is seen (columns), square or wider.

    Returns:
        Percent, higher is better.

    Example:
        >>> mean_iou(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]]))  # 1 of 2, 1 of 2, absent
        50.0
    """
    right, labelled = counts.diagonal(), counts.sum(1)
    seen = counts[:, : len(counts)].sum(0)
    occurs = labelled > 0
    iou = right[occurs] / (labelled + seen - right)[occurs]
    return 100 * float(iou.mean())


def _print_table(paths: Sequence[Path], data: Path, count: int | None) -> None:
    if not paths:
        raise ModelError(f"no .pth file in {SHARED / 'weights/espnetv2'}; name checkpoints")
    datasets = {name: sequence(data, name, count) for name in SEQUENCES}
    n_frames = ", ".join(str(len(found.items)) for found in datasets.values())
    table = Table(title="zero-shot mIoU in percent", caption=f"frames: {n_frames}")
    table.add_column("checkpoint", no_wrap=True)
    table.add_column("input")
    for name in datasets:
        table.add_column(name, justify="right")
    for checkpoint in map(load_checkpoint, paths):
        values = (f"{mean_iou(confusion(checkpoint, found)):.1f}" for found in datasets.values())
        height_px, width_px = checkpoint.preprocessing.size_px or (0, 0)
        table.add_row(checkpoint.id, f"{width_px}x{height_px}", *values)
    console.print(table)


if __name__ == "__main__":
    cyclopts.run(main)
