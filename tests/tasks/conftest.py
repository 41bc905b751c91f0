"""A real local Ray for the tests of tasks."""

import pytest

from otce.config import ExecutionConfig
from tasks.cluster import cluster


@pytest.fixture(scope="module")
def ray_plan():
    with cluster(ExecutionConfig(workers=2)) as plan:
        yield plan
