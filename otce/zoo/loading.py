"""From a model's configuration to its identity, and to the model itself."""

from collections.abc import Iterable
from threading import RLock

import torch

from otce.errors import ModelError
from otce.fingerprint import digest
from otce.identity import ModelIdentity
from otce.model_config import ModelConfig
from otce.storage.files import StorageOptions
from otce.zoo import (
    factories,
    hf_nets,
    monai_nets,
    programs,
    smp_nets,
    torchvision_nets,
)
from otce.zoo.honesty import check_state
from otce.zoo.model import SourceModel
from otce.zoo.preprocess import chosen
from otce.zoo.reference import Reference
from otce.zoo.weights import read_weights

# torch.export's own loader evaluates expressions and may unpickle; TorchScript is a program.
_RUNS_CODE = {
    "python": "runs code of yours; read it",
    "torchscript": "is a program that runs here; make sure who wrote it",
    "export": "can run code while torch opens it; make sure who wrote it",
}

# Neither torch.export's loader nor a first import of these libraries is made for threads, and
# models are identified by several.
_ONE_AT_A_TIME = RLock()


def model_identity(
    config: ModelConfig, python_path: Iterable[str], options: StorageOptions | None = None
) -> ModelIdentity:
    """Say what a model is made of, without building it.

    Args:
        config: the model's configuration.
        python_path: folders searched for its factory.
        options: fsspec options by protocol.

    Returns:
        Digests of weights (the declared one when there is one) and code, and the preprocessing.

    Raises:
        ModelError: not trusted, or its reference stands for nothing.
        StoreError: the weights cannot be read.
    """
    reference = resolve(config, python_path, options)
    weights = reference.weights_digest or config.weights_digest
    if weights is None:
        weights = digest(read_weights(str(reference.weights), config, options))
    return ModelIdentity(
        weights, reference.code, chosen(config.preprocessing, reference.preprocessing)
    )


def load_model(
    id_: str,
    config: ModelConfig,
    *,
    python_path: Iterable[str],
    device: str = "cpu",
    options: StorageOptions | None = None,
    n_classes: int | None = None,
) -> SourceModel:
    """Build a model and load its weights; nothing runs but what the configuration trusts.

    Args:
        id_: its id in the zoo, for errors.
        config: its configuration.
        python_path: folders searched for its factory.
        device: torch device to put it on.
        options: fsspec options by protocol.
        n_classes: classes of its source data set; None: not known.

    Returns:
        The model in evaluation mode, float32.

    Raises:
        ModelError: code, weights or their shapes do not fit.
        StoreError: the weights cannot be read.
    """
    try:
        reference = resolve(config, python_path, options)
        weights = reference.weights
        network = _built(reference, read_weights(weights, config, options) if weights else None)
        check_state(network)
        chosen_device = torch.device(device)
        network = network.float().to(chosen_device)
    except ModelError as error:
        raise ModelError(f"model {id_}: {error}") from error
    return SourceModel(
        id_,
        network,
        chosen(config.preprocessing, reference.preprocessing),
        config.tap,
        chosen_device,
        n_classes=config.n_classes or n_classes,
        one_by_one=reference.one_by_one,
    )


def resolve(
    config: ModelConfig, python_path: Iterable[str], options: StorageOptions | None = None
) -> Reference:
    """Find what a model's reference stands for.

    Args:
        config: the model's configuration.
        python_path: folders searched for factories.
        options: fsspec options by protocol.

    Returns:
        The reference.

    Raises:
        ModelError: not trusted, its library is absent, or it stands for nothing.
        StoreError: a file cannot be read.
    """
    if config.kind in _RUNS_CODE and not config.trusted:
        raise ModelError(
            f"{config.reference} {_RUNS_CODE[config.kind]} and set trusted: true for this model"
        )
    with _ONE_AT_A_TIME:
        return _resolve(config, python_path, options)


def _resolve(
    config: ModelConfig, python_path: Iterable[str], options: StorageOptions | None
) -> Reference:
    match config.kind:
        case "torchvision":
            return torchvision_nets.resolve(config)
        case "hf":
            return hf_nets.resolve(config, options)
        case "smp":
            return smp_nets.resolve(config)
        case "monai":
            return monai_nets.resolve(config)
        case "python":
            return factories.resolve(config, python_path)
        case _:
            return programs.resolve(config, options)


def _built(reference: Reference, data: bytes | None) -> torch.nn.Module:
    try:
        network = reference.build(data)
    except ModelError:
        raise
    except Exception as error:
        # Arguments of the configuration meet somebody else's constructor.
        raise ModelError(
            f"the network cannot be built: {type(error).__name__}: {error}; mend reference or "
            "arguments"
        ) from error
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # noqa: FBT003
    return network
