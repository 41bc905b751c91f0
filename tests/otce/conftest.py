import pytest

from otce.transport import geometry, sinkhorn


@pytest.fixture
def as_if_large(monkeypatch):
    """Send small problems the way of large ones: few pixels first, half floats, few entries."""
    monkeypatch.setattr(geometry, "_SMALL", 144)
    monkeypatch.setattr(sinkhorn, "_COARSE_PIXELS", 12)


@pytest.fixture
def as_if_on_card(as_if_large, monkeypatch):
    """Send them the way of large ones on a card: all pixels from the start, floats kept."""
    monkeypatch.setattr(geometry.Geometry, "is_on_card", True)


@pytest.fixture(params=["small", "as_if_large", "as_if_on_card"])
def way(request):
    if request.param != "small":
        request.getfixturevalue(request.param)
    return request.param
