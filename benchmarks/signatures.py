"""What float16 storage of a source signature would do to the score, and the bytes it would save.

    python benchmarks/signatures.py                        # the demo's models, nothing to download
    python benchmarks/signatures.py examples/camvid.yaml --models depthwise-0016E5 --target 0006R0

Only the source side is rounded, as only it is kept; every draw is scored twice, with the features
as extracted and with those that came back from float16.
"""

from collections.abc import Iterator
from pathlib import Path

import cyclopts
import numpy as np
import safetensors.numpy
from sampled import sampled

import otce
from otce.config import RunConfig
from otce.config_file import load_config
from otce.datasets.expand import expanded
from otce.draw import Draw, joined
from otce.identity import model_signature
from otce.signature import encode
from otce.zoo import model_identity
from tasks.census import Census
from tasks.shards import cut
from tasks.worker import FeatureWorker

DEMO = Path(__file__).parent.parent / "examples/demo.yaml"


def main(
    config: str = str(DEMO),
    *,
    models: tuple[str, ...] = ("depthwise-dune", "unet-ember"),
    target: str = "birch",
    pixels: int = 2_000,
    draws: int = 5,
) -> None:
    """Measure and print.

    Args:
        config: a run; its weights must be there.
        models: which of its models.
        target: which of its targets.
        pixels: N.
        draws: K.
    """
    run = expanded(load_config(config))
    print(f"N = {pixels}, K = {draws}, target {target}; shifts in nats, over {draws} draws")
    columns = (
        "model",
        "tap",
        "dim",
        "scaling",
        "mean OTCE",
        "max |shift|",
        "float32 B",
        "float16 B",
    )
    print("  ".join(f"{name:>16}" for name in columns))
    censuses = {
        id_: sampled(id_, run.datasets[id_], pixels=pixels, repetitions=draws, seed=run.seed)
        for id_ in {target, *sources(run, models)}
    }
    for model in models:
        for tap in ("head", "logits"):
            for row in measured(run, model, tap, target, censuses):
                print("  ".join(f"{value:>16}" for value in (model, tap, *row)))


def sources(run: RunConfig, models: tuple[str, ...]) -> list[str]:
    return [str(run.models[model].source) for model in models]


def features(worker: FeatureWorker, side: Census) -> list[Draw]:
    repetitions = range(int(side.sample.repetition.max()) + 1)
    shards = cut(side, 64, repetitions)
    parts = [worker.extract(shard, {}, None, with_logits=False)[1:] for shard in shards]
    return [joined(column) for column in zip(*parts, strict=True)]


def measured(
    run: RunConfig, model: str, tap: str, target: str, censuses: dict[str, Census]
) -> Iterator[tuple[str, ...]]:
    """Rows of dimension, scaling, mean score, largest shift, and bytes of both kinds."""
    chosen = run.models[model].model_copy(update={"tap": tap})
    run = run.model_copy(update={"models": {model: chosen}})
    worker = FeatureWorker()
    worker.load(model, chosen, run.execution.python_path, {}, 1)
    listed = censuses[str(chosen.source)].listed
    kept, others = (features(worker, censuses[id_]) for id_ in (listed.id, target))
    halves = [draw._replace(features=draw.features.astype(np.float16)) for draw in kept]
    side = model_signature(
        run,
        model,
        model=model_identity(chosen, run.execution.python_path),
        source=listed.id,
        source_digest=listed.digest,
        classes=listed.classes,
    )
    n_bytes = len(encode(side, dict(enumerate(kept))))
    saved = sum(
        len(safetensors.numpy.save({"f": draw.features, "y": draw.labels, "i": draw.items}))
        for draw in halves
    )
    for scaling in ("standardize", "none"):
        whole, rounded = (
            np.array(
                [
                    score(*source[:2], *other[:2], scaling)
                    for source, other in zip(sides, others, strict=True)
                ]
            )
            for sides in (
                kept,
                [draw._replace(features=draw.features.astype(np.float32)) for draw in halves],
            )
        )
        shift = np.abs(whole - rounded).max()
        dim = str(kept[0][0].shape[1])
        yield dim, scaling, f"{whole.mean():.4f}", f"{shift:.1e}", f"{n_bytes:,}", f"{saved:,}"


def score(*arguments: object) -> float:
    *sides, scaling = arguments
    return otce.score_pixels(*sides, feature_scaling=scaling, device="cpu").otce


if __name__ == "__main__":
    cyclopts.run(main)
