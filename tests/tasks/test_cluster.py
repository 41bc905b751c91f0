"""Joining a cluster, or not."""

import pytest

from otce.config import ExecutionConfig
from otce.errors import ClusterError
from tasks.cluster import cluster


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    """Ray itself tried for five minutes before it said so."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with (
        pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1"),
        cluster(ExecutionConfig()),
    ):
        pass
