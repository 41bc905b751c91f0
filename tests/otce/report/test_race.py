"""Rounds of a race, who left, and what it saved."""

from tests.drawn_runs import CONFUSED, cells, page, scored, text_of, verdict


def test_a_race_is_told_by_rounds_with_who_left_and_what_was_saved():
    pairs = [scored(m, "bay", CONFUSED) for m in ("a", "b")]
    race = [verdict(0, m, "stays") for m in ("a", "b", "d")]
    race.append(verdict(0, "c <i>", "leaves", reason="cannot be among the best 2", mean=-0.9))
    race += [verdict(1, m, "finished") for m in ("a", "b")]
    race.append(verdict(1, "d", "failed", mean=None, bound=None, threshold=None))
    html = page(*pairs, race=race, sampling={"repetitions": 4})
    assert cells(html, "Rounds of the race for bay")[1:] == [
        ["1", "finals", "2", "4", "3"],
        ["2", "finals", "4", "3", "2"],
    ]
    gone = cells(html, "Models eliminated from the race for bay")[1:]
    assert [row[:2] for row in gone] == [["d", "2"], ["c <i>", "1"]]
    assert gone[1][3:] == ["-0.900", "-0.400", "-0.300", "cannot be among the best 2"]
    assert "2 of 4 models finished, after 88 % of the transport work" in text_of(html)
    assert "12 % saved" in html
    assert 'id="race"' not in page(*pairs)
    assert "% saved" not in page(*pairs, race=race)
