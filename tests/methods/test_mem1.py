"""MEM1: what is paid, what stands in a turn's context and who wrote it; a memory that code keeps, or a mask that differs from the rollout's
contexts, would learn something else without a sign."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.support import TINY, model_of, twin
from thinkery.core.records import Problem, Question, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.learning.batch import build
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.forward import logprobs
from thinkery.learning.recipe import Setting
from thinkery.solvers import Solver
from thinkery.solvers.erasing import erasing
from thinkery.tasks import load_task
from thinkery.tasks.objectives import BETWEEN, MEMORY, QUERIES, Objectives, turns

mem1 = catalogue.load("mem1")
WIDE = replace(TINY, context=512)


def recited(n: int, solver: Solver, style: str, problems: int = 6) -> list[Rollout]:
    """Demonstrations said through a way of thinking."""
    task = Objectives(questions=n)
    found = Collector(task, LocalEngine(model_of(WIDE)), solver, Sampling(task.max_tokens), 0).collect(
        0, [Unit(i, 0, {}, style) for i in range(problems)]
    )
    assert all(r.error is None for r in found)
    return found


def verified(n: int, solver: Solver, style: str, problems: int = 6) -> tuple[float, float]:
    """The shares of right answers, and the longest peak."""
    task, found = Objectives(questions=n), recited(n, solver, style, problems)
    verdicts = [task.verify(r.problem, r.reply, r) for r in found if r.reply is not None]
    return sum(v.parts[f"right{n}"] for v in verdicts) / len(verdicts), max(v.parts[f"peak{n}"] for v in verdicts)


def arm(name: str) -> Solver:
    (stage,) = mem1.CLAIM.arms[name](mem1.CLAIM.setting).flat()
    solver: Solver = stage.solver
    return solver


def judged(n: int, right: float) -> Rollout:
    return Rollout(0, 0, 0, Problem("p", Question("q"), "", difficulty=n), [], None, Verdict(float(right == 1), parts={f"right{n}": right}))


def test_the_reward_counts_right_answers() -> None:
    found = [judged(2, 0.5), judged(2, 1.0), judged(4, 0.75), judged(8, 0.0)]
    assert mem1.matched(found) == [1.0, 2.0, 3.0, 0.0]
    (stage,) = mem1.recipe(mem1.CLAIM.setting).flat()
    assert [sum(weight * values[i] for weight, values in stage.reward.score(found)) for i in range(4)] == [1.0, 2.0, 3.0, 0.0]


def test_each_arm_sees_what_it_says() -> None:
    """Turn 3 of two questions of one hop: after the last memory, after the last query, or after everything."""
    shown = {}
    for name, style in (("mem1", MEMORY), ("blank", MEMORY), ("whole", QUERIES)):
        r = next(r for r in recited(2, arm(name), style, 12) if len(r.turns) == 3)
        shown[name] = r.turns[2].context.text.partition(f"{r.problem.question.prompt}\n")[2]
        first, second = (call["text"] for call in r.calls)
        a, b = turns(r.problem, QUERIES)[:2]
        known = r.problem.answer.split(BETWEEN)[0]
        assert (
            shown[name]
            == {
                "mem1": f"{known}{b}{second}\n4?",
                "blank": f"{b}{second}\n4?",
                "whole": f"6?{a}{first}\n5?{b}{second}\n4?",
            }[name]
        )
    assert arm("longer").keywords == arm("whole").keywords == {"forgets": False}  # type: ignore[attr-defined]


def test_the_memory_is_the_policys_own() -> None:
    """What stands before a turn is what the last turn wrote, sampled, and what was found: code adds nothing to it."""
    task = Objectives(questions=2)
    found = Collector(task, LocalEngine(model_of(WIDE)), arm("mem1"), Sampling(40), 0).collect(0, [Unit(i, 0) for i in range(400)])
    several = [r for r in found if r.error is None and len(r.turns) > 1]
    assert len(several) >= 3
    for r in several:
        for before, turn, call in zip(r.turns, r.turns[1:], r.calls):
            left = turn.context.text.rpartition("\n")[2]
            assert turn.context.text.endswith(f"{r.problem.question.prompt}\n{before.text}{call['text']}\n{left}")
            assert before.sampled.all()


def test_a_turn_is_trained_in_the_context_it_was_written_in() -> None:
    found = recited(2, arm("mem1"), MEMORY)
    engine = LocalEngine(model_of(WIDE))
    batch = build(found, engine.tree)
    with torch.no_grad():
        trained = logprobs(twin(engine.model.decoder), batch, np.arange(len(batch)), batch.mask.sum(1)).logp.numpy()
    for row, turn in enumerate(t for r in found for t in r.turns):
        alone = engine.score(engine.model.context(engine.root, turn.context.text.removeprefix("<s>")), turn.ids)
        assert np.abs(alone - trained[row][: turn.n]).max() < 1e-4


def test_the_peak_grows_by_what_is_asked_and_answered_alone() -> None:
    """Each further question stands in the prompt, in the memory before the turn and in the turn: at most 4 characters each."""
    peaks = {n: verified(n, arm("mem1"), MEMORY) for n in (2, 8)}
    assert peaks[2][0] == peaks[8][0] == 1
    assert peaks[8][1] - peaks[2][1] <= 6 * 3 * 4 + 2
    right, whole = verified(8, arm("whole"), QUERIES)
    assert right == 1 and peaks[8][1] <= 0.4 * whole


def test_all_that_eight_questions_need_fits_the_smallest_model() -> None:
    """But for one problem in 256, all of whose questions have two hops; or the arm that keeps everything would be compared with its hands tied."""
    right, peak = verified(8, arm("whole"), QUERIES, 40)
    assert right == 1 and peak <= 512


def test_without_its_memory_an_agent_knows_the_last_answer_alone() -> None:
    """Two problems that differ in the first answer look the same at the end."""
    task = Objectives(questions=2, hops=1)

    def last(name: str, keeps: str) -> set[str]:
        ends = set()
        for other in "xy":
            problem = task.problem(3)
            first, second = problem.answer.split(BETWEEN)
            world = {**problem.data[0], first[0] + problem.question.prompt[1]: other}
            changed = replace(problem, answer=f"{first[0]}{other}{BETWEEN}{second}", data=(world, 0))
            posed = Posed(changed)
            (r,) = Collector(posed, LocalEngine(model_of(WIDE)), arm(name), Sampling(60), 0).collect(0, [Unit(0, 0, {}, keeps)])
            ends.add(r.turns[-1].context.text)
        return ends

    assert len(last("blank", MEMORY)) == 1
    assert len(last("mem1", MEMORY)) == len(last("whole", QUERIES)) == 2


class Posed(Objectives):
    """One problem."""

    def __init__(self, only: Problem) -> None:
        super().__init__(questions=2, hops=1)
        self.only = only

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        return self.only


def test_only_the_longer_arm_meets_more_questions_than_two() -> None:
    task = mem1.CLAIM.setting.task
    met = {}
    for name, recipe in mem1.CLAIM.arms.items():
        (stage,) = recipe(mem1.CLAIM.setting).flat()
        picks = stage.curriculum.pick(stage.curriculum.init(), 0, 60)
        met[name] = {task.problem(i, **spec).difficulty for i, spec in picks}
    assert met == {"whole": {2}, "mem1": {2}, "blank": {2}, "longer": set(range(2, 9))}
    assert {task.problem(i, "test").difficulty for i in range(9)} == {2, 8}


def test_one_setting_for_all_arms_but_what_they_keep() -> None:
    stages = {name: recipe(mem1.CLAIM.setting).flat()[0] for name, recipe in mem1.CLAIM.arms.items()}
    for name in ("whole", "blank"):
        assert replace(stages[name], solver=stages["mem1"].solver, curriculum=stages["mem1"].curriculum).steps == stages["mem1"].steps
        assert stages[name].reward == stages["mem1"].reward and stages[name].advantage is stages["mem1"].advantage


def test_it_runs_on_the_task_by_name() -> None:
    assert mem1.recipe(Setting(load_task("objectives"))).flat()[0].solver is erasing
