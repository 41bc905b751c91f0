"""Prometheus metrics of a run, exported by the Ray that it uses, as `ray_otce_...`.

All are recorded by the driver, which learns of every result anyway. No label names a model or a
target: a thousand models times ten targets would be ten thousand series of a counter, and twelve
times that of a histogram, for numbers that `failures` and `timings` hold by name. Labels with few
values are those of error classes and devices.
"""

from typing import Final

from ray.util.metrics import Counter, Gauge, Histogram

# A third of a decade apart, from a tiny shard to the default time limit.
_SECONDS: Final = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0]

PAIRS_SCORED: Final = Counter("otce_pairs_scored", "pairs of a model and a target that were scored")
PAIRS_FAILED: Final = Counter(
    "otce_pairs_failed", "pairs that lack a score, by class of the first error", ("error_class",)
)
IMAGES_EXTRACTED: Final = Counter("otce_images_extracted", "images that were run through a model")
RETRIES: Final = Counter("otce_retries", "attempts that failed and are repeated", ("error_class",))
IN_FLIGHT: Final = Gauge("otce_in_flight", "transports submitted to Ray and not finished")
SHARD_SECONDS: Final = Histogram(
    "otce_shard_seconds", "wall time of a shard in its actor", _SECONDS, ("device",)
)
TRANSPORT_SECONDS: Final = Histogram(
    "otce_transport_seconds", "wall time of one repetition of one pair in its worker", _SECONDS
)
