"""The run as frozen pydantic models; `otce.config_file` reads them from YAML.

Two halves. Everything outside `execution` is science: it can change a number and is fingerprinted.
Everything inside `execution` changes only speed and place, and is never hashed. What `measure` says
counts for measured transfers alone (`otce.transfer.tables`).
"""

from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from otce.dataset_config import DatasetConfig, FolderDataset, ScenesDataset
from otce.fingerprint import fingerprint
from otce.measure_config import MeasureConfig
from otce.model_config import ModelConfig
from otce.protocols import DEFAULT_PROTOCOLS, refuse_options_that_choose
from otce.recipe import (
    DEFAULT_METRICS,
    PRESETS,
    ClassWeights,
    FeatureScaling,
    Metric,
    PresetName,
    Relaxation,
    Solver,
)
from otce.secrets import refuse_secret_options
from otce.section import CodeFolder, PositiveFloat, Section, Seed, Uri

__all__ = [
    "DatasetConfig",
    "ExecutionConfig",
    "FolderDataset",
    "ModelConfig",
    "RaceConfig",
    "RunConfig",
    "SamplingConfig",
    "ScenesDataset",
    "ScoreConfig",
    "Section",
]

Multiple = Annotated[float, Field(ge=1e-3, le=1e3)]
Share = Annotated[float, Field(gt=0, le=1)]
Rounds = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=32)]
"""How many more repetitions each round has."""
ResourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]
"""A resource that the operator of a cluster gave to some nodes."""
_RUN_ID: Final = r"^[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,63}|[A-Za-z0-9._-]{0,47}\{n\})$"
Protocol = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+_.-]*$")]


class SamplingConfig(Section):
    """Which pixels are looked at."""

    pixels: Annotated[int, Field(ge=1)]
    """N: labelled pixels drawn from each side, without replacement."""
    repetitions: Annotated[int, Field(ge=1)]
    """K: independent draws."""
    too_few_pixels: Literal["refuse", "shrink"] = "refuse"
    """When a data set has fewer than N labelled pixels: refuse it, or use all and record it."""


class CouplingConfig(Section):
    """Another coupling of the same pixels: that of `otce_robust`."""

    relaxation: Relaxation = "source"
    """Which marginal of the coupling is free."""
    class_weights: ClassWeights = "balanced"
    """How pixels are weighted by class."""


class FullConfig(Section):
    """Coefficients of `otce_full`, from auxiliary pairs whose transfer was measured."""

    domain: float
    """Of the transport cost, in accuracy per unit of cost."""
    task: float
    """Of H(Y_t | Y_s), in accuracy per nat."""
    bias: float = 0.0
    """Accuracy where both terms are 0."""


class ScoreConfig(Section):
    """How a draw of pixels becomes a score."""

    epsilon: PositiveFloat
    """Entropic regularisation, in units of the scaled cost."""
    feature_scaling: FeatureScaling
    """How features of one draw are scaled before distances are taken."""
    relaxation: Relaxation
    """Which marginal of the coupling is free; `none` is the paper's balanced coupling."""
    class_weights: ClassWeights
    """How pixels are weighted by class; `uniform` is the paper's."""
    solver: Solver = "auto"
    """`auto`: our own; `pot`: POT's stabilised Sinkhorn; `emd`: exact transport, no epsilon."""
    tolerance: PositiveFloat = 1e-3
    """Largest L1 error of the marginals at which a coupling counts as solved."""
    max_iterations: Annotated[int, Field(ge=1)] = 20_000
    """Iterations after which an unsolved coupling is an error."""
    epsilon_curve: Annotated[tuple[Multiple, ...], Field(max_length=16)] = (0.3, 1.0, 3.0, 10.0)
    """Multiples of `epsilon` at which the first draw of a pair is scored as well, in ascending
    order, to show how much the score owes to the choice; empty: none."""

    robust: CouplingConfig = CouplingConfig()
    """The coupling of the metric `otce_robust`; all else is as for `otce`."""
    full: FullConfig | None = None
    """Coefficients of the metric `otce_full`, which is refused without them."""

    @field_validator("epsilon_curve")
    @classmethod
    def _ascends(cls, multiples: tuple[float, ...]) -> tuple[float, ...]:
        # One way to write a curve is one fingerprint for it.
        if any(first >= second for first, second in pairwise(multiples)):
            raise ValueError("does not ascend; write every multiple once, the smallest first")
        return multiples


class RaceConfig(Section):
    """When `strategy: race` stops spending on a model; no score of a pair depends on it.

    First heats of fewer pixels on fewer images, then finals: the repetitions of `sampling`.
    """

    top_k: Annotated[int, Field(ge=1)] = 3
    """How many of the best models are wanted."""
    error: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Largest chance, for each target, that one of them is lost; 0: no model ever leaves."""
    minimum: Annotated[int, Field(ge=2)] = 2
    """Heats, and then finals, that every model in them gets before one may leave."""
    heats: Rounds = (4, 4)
    """Heats of each round; empty: no heats."""
    heat_images: Share = 0.05
    """Share of a data set's images that a heat looks at, each heat at others; at least 16 images,
    where there are as many."""
    heat_pixels: Share = 0.2
    """Share of `sampling.pixels` that a heat draws."""
    heat_survivors: Annotated[int, Field(ge=0)] = 6
    """Fewest models that reach the finals, as fewer pixels might change the order."""
    finals: Rounds = (1, 1, 2, 2, 4)
    """Repetitions of each round; the last round has what is left of `sampling.repetitions`."""


class ExecutionConfig(Section):
    """Where and how fast: nothing here can change a number."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,48}$")] = "run"
    """First part of the default run id; the configuration file's name when read from one."""
    run_id: Annotated[str, Field(pattern=_RUN_ID)] | None = None
    """Folder of this run's tables; by default the name and the start of the fingerprint. One that
    ends in `{n}` numbers its runs: each that finds something changed gets the next number."""
    store: Uri = "otce-store"
    """Where objects and tables are kept: a path or any fsspec URI."""
    storage_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """fsspec options by protocol, such as `s3: {endpoint_url: ...}`; secrets are refused."""
    protocols: Annotated[tuple[Protocol, ...], Field(min_length=1)] = DEFAULT_PROTOCOLS
    """fsspec protocols that data, weights and the store may use, also as links of a chain."""
    python_path: tuple[CodeFolder, ...] = (".",)
    """Folders in which factories' modules are looked for, before the environment."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """CPUs of a local Ray; by default those of the machine."""
    actors: Annotated[int, Field(ge=1)] | None = None
    """Most feature actors at once; by default as many as the cluster has slots."""
    gpus_per_actor: Annotated[float, Field(gt=0)] = 1.0
    """GPUs (or a fraction of one) of a feature actor, where the cluster has any."""
    cpus_per_actor: Annotated[int, Field(ge=1)] = 1
    """CPUs of a feature actor."""
    actor_resources: dict[ResourceName, PositiveFloat] = Field(default_factory=dict)
    """What else of its node a feature actor holds, as the cluster names it: `{a100: 1}`."""
    fresh_actors: bool = False
    """Whether every model gets a new process; by default models follow each other in one."""
    wait_for_nodes_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds to wait for nodes that a cluster starts when asked, then with GPUs for `actors`
    feature actors (1 when that is not set); 0: use the nodes that are there."""
    placement_limit_s: PositiveFloat = 300.0
    """Longest time until a new feature actor runs on some node, its start included."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images a forward pass; by default 8 on a GPU and 1 on a CPU; halves when memory is short."""
    keep_signatures: bool = True
    """Whether the source side of every model that is extracted is kept in the store, so that a new
    target needs no source images."""
    items_per_shard: Annotated[int, Field(ge=1)] = 64
    """Images an actor works through before it answers; the unit that is repeated after a death."""
    in_flight: Annotated[int, Field(ge=1)] | None = None
    """Most transports submitted at once; by default twice the cluster's CPUs."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """Times a piece of work is tried when its failure is a transient one."""
    time_limit_s: PositiveFloat = 3600.0
    """Longest time for one shard, one transport or one measured transfer."""

    @field_validator("gpus_per_actor")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        if gpus > 1 and gpus % 1:
            raise ValueError("several GPUs are whole ones; write 0.5, 1, 2, ...")
        return gpus

    @field_validator("actor_resources")
    @classmethod
    def _has_fields_of_its_own(cls, resources: dict[str, float]) -> dict[str, float]:
        if taken := {"CPU", "GPU", "memory", "object_store_memory"} & resources.keys():
            raise ValueError(
                f"{', '.join(sorted(taken))} cannot be set here; CPUs and GPUs have "
                "cpus_per_actor and gpus_per_actor"
            )
        return resources

    @field_validator("storage_options")
    @classmethod
    def _is_harmless(cls, options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        refuse_options_that_choose(options)
        refuse_secret_options(options)
        return options


class RunConfig(Section):
    """A whole run."""

    preset: PresetName = "default"
    """Recipe that fills what `sampling` and `score` leave out: `paper`, or the measured best."""
    seed: Seed = 0
    """Root of every draw of pixels."""
    datasets: Annotated[dict[str, DatasetConfig], Field(min_length=1)]
    """Data sets by id, sources and targets alike; `by` makes one entry stand for many."""
    models: Annotated[dict[str, ModelConfig], Field(min_length=1)]
    """The zoo: source models by id."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    """Ids of the target data sets."""
    sampling: SamplingConfig
    """Which pixels are looked at."""
    score: ScoreConfig
    """How a draw of pixels becomes a score."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = DEFAULT_METRICS
    """Scores to compute from one extraction; `otce`, the paper's, is always among them."""
    strategy: Literal["full", "race"] = "full"
    """Score every pair in full, or stop early with models that cannot reach the top k."""
    race: RaceConfig = RaceConfig()
    """When a race stops; not looked at with `strategy: full`."""
    measure: MeasureConfig | None = None
    """What `otce measure` does; no score depends on it."""
    execution: ExecutionConfig = ExecutionConfig()
    """Where and how fast."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        preset = PRESETS.get(str(data.get("preset", "default")), PRESETS["default"])
        given = {name: {} if data.get(name) is None else data[name] for name in preset}
        return data | {
            name: values | given[name] if isinstance(given[name], dict) else given[name]
            for name, values in preset.items()
        }

    @field_validator("metrics")
    @classmethod
    def _can_be_had(cls, metrics: tuple[Metric, ...], info: ValidationInfo) -> tuple[Metric, ...]:
        if "otce" not in metrics:
            raise ValueError("otce is missing; it is always computed, write it as well")
        if len(set(metrics)) < len(metrics):
            raise ValueError("one is written twice; write every metric once")
        # A score that is wrong itself is not there, and told already.
        if "otce_full" in metrics and "score" in info.data and info.data["score"].full is None:
            raise ValueError(
                "otce_full has no coefficients; fit them on pairs whose transfer was measured "
                "(otce.scores.fit) and write them as score.full"
            )
        return metrics

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the science half, 32 hexadecimal digits; a race's rules only of races."""
        unused = () if self.strategy == "race" else ("strategy", "race")
        left_out = {"execution", "measure", *unused}
        return fingerprint({n: value for n, value in self if n not in left_out})

    @property
    def run_id(self) -> str:
        """Folder of this run's tables."""
        return self.execution.run_id or f"{self.execution.name}-{self.fingerprint[:8]}"

    def numbered(self, run_id: str) -> "RunConfig":
        """Put a concrete run id in place of one that ends in `{n}`."""
        execution = self.execution.model_copy(update={"run_id": run_id})
        return self.model_copy(update={"execution": execution})

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(model, target) ids to score: every target but the model's own source data set.

        What a signature file says of a source counts when it was read: `flows.sources`.
        """
        return tuple(
            (model, target)
            for model in self.models
            for target in self.targets
            if target != self.models[model].source
        )
