"""Rank trained segmentation models for a target data set without fine-tuning them.

The score is OTCE on pixels (Tan, Li, Huang, "Transferability Estimation for Semantic Segmentation
Task", arXiv 2109.15242): minus the conditional entropy of the target label given the source label
under an entropic optimal transport between source and target pixels. In nats, at most 0, higher
is better.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otce.errors import (
    ClusterError,
    ConfigError,
    DataError,
    ModelError,
    OtceError,
    StoreError,
    TransportError,
)

if TYPE_CHECKING:
    from otce.config_file import load_config
    from otce.scores.draws import score_draws
    from otce.scores.otce import Score, score_epsilons, score_pixels

__all__ = [
    "ClusterError",
    "ConfigError",
    "DataError",
    "ModelError",
    "OtceError",
    "Score",
    "StoreError",
    "TransportError",
    "load_config",
    "score_draws",
    "score_epsilons",
    "score_pixels",
]

# Loaded on first use: torch and POT take seconds, which the command's help must not.
_LAZY = {
    "Score": "otce.scores.otce",
    "score_draws": "otce.scores.draws",
    "score_epsilons": "otce.scores.otce",
    "score_pixels": "otce.scores.otce",
    "load_config": "otce.config_file",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'otce' has no attribute {name!r}")
