"""How well scores predict measured transfer.

A *truth* is what transferring a model gave, such as the mIoU after fine-tuning. A *predictor* is
anything known before: a score of `otce.scores`, or a baseline. Higher is better for both.
"""

from otce.truth.cell import Cell
from otce.truth.judge import judge
from otce.truth.measures import MEASURES, measure_agreement

__all__ = ["MEASURES", "Cell", "judge", "measure_agreement"]
