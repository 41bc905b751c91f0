"""One exception tree, so that retries and exit codes rest on the same classification.

Every message is one positional argument (keyword-only constructors do not survive the pickling
between Ray workers) and says what was found, where, what is allowed and what to do.
"""

from typing import ClassVar


class OtceError(Exception):
    """Anything `otce` refuses to do; `transient` errors may succeed when tried again."""

    transient: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing its input."""


class ConfigError(OtceError):
    """The configuration, or a name in it, cannot be used."""


class DataError(OtceError):
    """A data set cannot be read or sampled as configured."""


class CorruptDataError(DataError):
    """A file of a data set is not what its name says; `max_bad_items` may leave its item out."""


class ModelError(OtceError):
    """A source model cannot be loaded, tapped or trusted."""


class TransportError(OtceError):
    """No certified coupling could be computed for these pixels."""


class StoreError(OtceError):
    """The store refuses an operation or holds an object that cannot be read."""


class DamagedError(StoreError):
    """An object of the store has other bytes than were put; it can be computed again."""


class StoreUnavailableError(StoreError):
    """The store did not answer; it may later."""

    transient = True


class ClusterError(OtceError):
    """The Ray cluster or the Prefect server cannot run this work."""


class PlacementError(ClusterError):
    """No node of the cluster has room for a feature actor."""


class RayLostError(ClusterError):
    """Ray ended on the driver's own machine: this run can compute nothing more."""


class WorkerDiedError(ClusterError):
    """A worker process ended before it gave its result; another may finish the work."""

    transient = True


class LostFeaturesError(WorkerDiedError):
    """The node that held a model's features ended; they can be extracted again."""
