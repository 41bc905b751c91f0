"""Passes shared out to threads add up in order, and leave torch's settings as they were."""

import threading

import pytest
import torch

from otce.transport import balanced, geometry, semi_relaxed
from otce.transport.threads import in_parts
from tests.drawn import clouds, uniform


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_cover_the_rows_in_order(parts):
    shares = in_parts(lambda part: list(range(part.start, part.stop)), 7, parts)
    assert [row for share in shares for row in share] == list(range(7))
    assert len(shares) == parts


def test_every_part_computes_with_one_thread_and_the_setting_comes_back(three_threads):
    found = in_parts(lambda _: (torch.get_num_threads(), threading.get_ident()), 9, 3)
    assert [threads for threads, _ in found] == [1, 1, 1]
    assert threading.get_ident() not in {ident for _, ident in found}
    assert torch.get_num_threads() == 3


def test_the_setting_comes_back_after_an_error(three_threads):
    with pytest.raises(ZeroDivisionError):
        in_parts(lambda part: part.start / 0, 9, 3)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("epsilon", [1.0, 0.05, 0.003])
def test_threads_move_only_the_last_digits(epsilon):
    """Dense, then ever sparser: equal bytes for equal threads, equal scores for any."""
    draw = clouds(1, n=1400, m=1100, dim=8)
    sides = [torch.from_numpy(side) for side in (draw.source_ND, draw.target_MD)]
    masses = [torch.from_numpy(uniform(count)) for count in (1400, 1100)]
    problem = *sides, *masses, torch.from_numpy(draw.source_y)[:, None] == torch.arange(3)
    found = {}
    for threads in (1, 2, 3, 3):
        torch.set_num_threads(threads)
        (balanced_one,) = balanced(
            *problem[:4],
            problem[4].double(),
            epsilons=[epsilon],
            tolerance=1e-3,
            max_iterations=9999,
        )
        relaxed = semi_relaxed(*problem[:4], problem[4].double(), epsilon=epsilon)
        again = found.setdefault(threads, (balanced_one, relaxed))
        assert torch.equal(again[0].mass_SM, balanced_one.mass_SM)
        assert torch.equal(again[1].mass_SM, relaxed.mass_SM)
    torch.set_num_threads(1)
    for threads in (2, 3):
        for one, other in zip(found[1], found[threads], strict=True):
            assert float((one.mass_SM - other.mass_SM).abs().sum()) < 2e-3


def test_without_onednn_the_plan_is_the_same(monkeypatch):
    draw = clouds(2, n=1300, m=1100, dim=8)
    problem = [torch.from_numpy(side) for side in (draw.source_ND, draw.target_MD)]
    problem += [torch.from_numpy(uniform(count)) for count in (1300, 1100)]
    problem.append(torch.from_numpy(draw.source_y)[:, None].double())
    recipe = {"epsilons": [0.5], "tolerance": 1e-4, "max_iterations": 999}
    (one,) = balanced(*problem, **recipe)
    monkeypatch.setattr(geometry, "_HAS_ONEDNN", False)
    (other,) = balanced(*problem, **recipe)
    assert float((one.mass_SM - other.mass_SM).abs().sum()) < 1e-4
    assert one.cost == pytest.approx(other.cost, rel=1e-4)
