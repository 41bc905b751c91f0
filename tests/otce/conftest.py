import pytest

from otce.transport import geometry, sinkhorn


@pytest.fixture
def as_if_large(monkeypatch):
    """Send small problems the way of large ones: few pixels first, half floats, few entries."""
    monkeypatch.setattr(geometry, "_SMALL", 144)
    monkeypatch.setattr(sinkhorn, "_COARSE_PIXELS", 12)


@pytest.fixture(params=["small", "large"])
def way(request):
    if request.param == "large":
        request.getfixturevalue("as_if_large")
    return request.param
