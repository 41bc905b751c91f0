"""Races of several targets run side by side, decide as each alone, and resume to the same end."""

import copy

import numpy as np
import pytest

from flows.race import planned, run_races, transports
from otce import tables
from otce.config import RunConfig
from tests.two_values import BASE

HEATS, K = (4, 4), 10


def config(**race):
    data = copy.deepcopy(BASE)
    data["sampling"]["repetitions"] = K
    data["race"] = {"top_k": 2, "heats": HEATS, "heat_survivors": 3} | race
    return RunConfig.model_validate(data)


def entrants(targets=("bay", "fen"), models=12):
    return {target: [f"m{i:02d}" for i in range(models)] for target in targets}


class Scored:
    """Scores of a pair and repetition, as a store of finished rounds would give them."""

    def __init__(self, fails=(), dies_after=None):
        self.fails, self.left, self.asked = set(fails), dies_after, []

    def __call__(self, todo):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.asked.append(dict(todo))
        return {
            pair: [self.one(pair, asked.phase.name, k) for k in asked.repetitions]
            for pair, asked in todo.items()
            if pair not in self.fails
        }

    def one(self, pair, phase, repetition):
        model, target = pair
        key = [ord(c) for c in model + target + phase] + [repetition]
        noise = 0.05 * np.random.default_rng(key).normal()
        return float(-0.1 * int(model[1:]) + noise - (0.5 if phase == "heats" else 0))


def columns(table, decision):
    rows = [row for row in table.to_pylist() if row["decision"] == decision]
    return {(row["source_model"], row["target_dataset"]) for row in rows}


def test_every_target_races_as_it_would_alone():
    both = run_races(config(), entrants(), Scored())
    assert both.schema.equals(tables.RACE, check_metadata=True)
    alone = [run_races(config(), entrants([target]), Scored()) for target in ("bay", "fen")]
    assert both.to_pylist() == [row for table in alone for row in table.to_pylist()]


def test_the_best_finish_with_all_repetitions_and_others_left_early():
    scored = Scored()
    table = run_races(config(), entrants(), scored)
    assert columns(table, "finished") >= {("m00", "bay"), ("m01", "bay"), ("m00", "fen")}
    assert ("m11", "bay") in columns(table, "leaves")
    done = {pair: [] for pair in columns(table, "finished")}
    for todo in scored.asked:
        for pair, asked in todo.items():
            if pair in done and asked.phase.name == "finals":
                done[pair] += asked.repetitions
    assert all(repetitions == list(range(K)) for repetitions in done.values())


def test_all_targets_are_in_one_round_at_a_time():
    scored = Scored()
    run_races(config(), entrants(), scored)
    assert {target for _, target in scored.asked[0]} == {"bay", "fen"}
    assert len(scored.asked) <= len(HEATS) + len(planned(config())[0][1].ends)


def test_an_interrupted_race_comes_to_the_same_end_when_it_is_run_again():
    whole = run_races(config(), entrants(), Scored())
    for rounds in range(4):
        with pytest.raises(KeyboardInterrupt):
            run_races(config(), entrants(), Scored(dies_after=rounds))
        assert run_races(config(), entrants(), Scored()).equals(whole)


def test_a_pair_that_fails_is_told_and_its_model_races_for_other_targets():
    table = run_races(config(), entrants(), Scored(fails=[("m00", "bay")]))
    assert columns(table, "failed") == {("m00", "bay")}
    assert ("m00", "fen") in columns(table, "finished")


def test_without_targets_or_models_there_is_nothing_to_race():
    for none in ({}, {"bay": []}):
        assert run_races(config(), none, Scored()).num_rows == 0


def test_a_configuration_lays_out_heats_and_finals():
    (heats, finals), rules = planned(config(heat_pixels=0.2, error=0.1, minimum=3))
    assert (heats.ends, heats.whole, heats.survivors) == ((4, 8), None, 3)
    assert heats.work == pytest.approx(0.04)
    assert (finals.ends, finals.work, finals.whole) == ((1, 2, 4, 6, 10), 1.0, K)
    assert (rules.top_k, rules.error, rules.minimum) == (2, 0.1, 3)
    assert [phase.name for phase in planned(config(heats=[]))[0]] == ["finals"]


def test_a_pair_without_heats_joins_in_the_finals():
    scored = Scored()
    table = run_races(config(), entrants(["bay"]), scored, late=[("m00", "bay"), ("m11", "bay")])
    phases = {(r["phase"], r["source_model"]) for r in table.to_pylist()}
    assert not phases & {("heats", "m00"), ("heats", "m11")}
    assert {("finals", "m00"), ("finals", "m11")} <= phases
    assert ("m00", "bay") in columns(table, "finished")
    assert ("m11", "bay") in columns(table, "leaves")


def test_where_nobody_has_heats_the_finals_are_all():
    late = [(model, "bay") for model in entrants(["bay"])["bay"]]
    without = run_races(config(), entrants(["bay"]), Scored(), late=late)
    assert {row["phase"] for row in without.to_pylist()} == {"finals"}


def test_transports_of_a_race_lie_between_its_least_and_its_most():
    chosen = config()
    table = run_races(chosen, entrants(["bay"]), Scored()).to_pylist()
    last = {(row["source_model"], row["phase"]): row["repetitions"] for row in table}
    done = {
        phase: sum(n for (_, of), n in last.items() if of == phase) for phase in ("heats", "finals")
    }
    least, most = transports(chosen, 12)
    assert least["heats"] <= done["heats"] <= most["heats"] == 12 * sum(HEATS)
    assert least["finals"] <= done["finals"] <= most["finals"] == 12 * K
    # All but three leave after four heats, all but two after two repetitions.
    assert least == {"heats": 12 * 4, "finals": 3 * 2 + 2 * (K - 2)}
    no_error = transports(config(error=0.0), 12)
    assert no_error[0] == no_error[1]
    assert transports(config(heats=[]), 2) == ({"finals": 2 * K}, {"finals": 2 * K})
