"""Budgets: what is learnt from and what is spent on votes are as many replies in every arm; a comparison of unequal ones would say nothing."""

from __future__ import annotations

import pytest

from tests.support import Sums
from thinkery.lab import catalogue
from thinkery.learning.recipe import Recipe, Setting, Stage
from thinkery.solvers import single

frontiers = catalogue.load("frontiers")
CLAIM = frontiers.CLAIM


def stages(name: str) -> list[Stage]:
    found: Recipe = CLAIM.arms[name](CLAIM.setting)
    return found.flat()


def replies(name: str) -> int:
    """That an arm samples to learn from, and to answer the claim's test problems."""
    found = stages(name)
    learnt = sum(frontiers.spent(s) for s in found if s.select is not frontiers.nothing)
    solver = found[-1].solver
    settings = getattr(solver, "keywords", {})
    asked = settings.get("samples", settings.get("agents", 1) * (settings.get("rounds", 0) + 1))
    return learnt + CLAIM.problems * int(asked)


def test_all_arms_of_the_claim_spend_the_same() -> None:
    budget = replies("learning")
    for arm in ("votes", "frontiers"):
        assert replies(arm) == pytest.approx(budget, rel=0.05)
    assert replies("debate") == replies("few votes")


def test_the_shares_are_what_they_say() -> None:
    learn, think = stages("frontiers")
    (alone,) = (s for s in stages("learning") if s.select is not frontiers.nothing)
    assert learn.steps == alone.steps / 2 and think.solver.keywords["samples"] == 13
    assert [s.name for s in stages("votes")] == ["think"], "nothing is learnt"
    assert stages("learning")[-1].solver is single


@pytest.mark.parametrize(("share", "votes"), [(1.0, 26), (0.5, 13), (0.25, 6), (0.001, 1)])
def test_votes_last_for_the_problems(share: float, votes: int) -> None:
    """12,800 replies over 500 problems."""
    assert frontiers.votes(stages("learning")[0], share) == votes


def test_nothing_is_learnt_after_the_learning() -> None:
    import asyncio

    for arm in CLAIM.arms:
        assert asyncio.run(stages(arm)[-1].select([])) == []
        assert stages(arm)[-1].steps == 1


def test_it_runs_on_any_task() -> None:
    assert [s.name for s in frontiers.recipe(Setting(Sums())).flat()] == ["rl", "think"]
