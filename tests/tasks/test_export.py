"""A task that goes to another trainer must score there as it scores here: a row that finds another problem, or a failure that arrives as a
0, would train on noise."""

import asyncio
import math
from types import SimpleNamespace

import pytest

from tests.support import Sums
from thinkery.core.errors import InputError, MissingExtra, RewardError, VerifierError
from thinkery.core.records import Reply
from thinkery.tasks import load_file, load_task
from thinkery.tasks.environments import Environment
from thinkery.tasks.export import ADDRESS, as_trl_dataset, as_trl_reward, as_verifiers_environment


class Broken(Sums):
    def verify(self, problem, reply, rollout=None):
        raise VerifierError("no power")


def test_trl_rows_and_reward_find_the_same_problems():
    task = load_task("chain")
    rows = as_trl_dataset(task, 5, "validation", 3)
    assert [set(r) for r in rows] == [{"prompt", "answer", ADDRESS}] * 5
    for i, row in enumerate(rows):
        p = task.problem(i, "validation", 3)
        assert row["answer"] == p.answer and row["prompt"] == [
            {"role": "user", "content": f"{p.question.prompt}\n\n{p.question.instruction}"}
        ]
    reward = as_trl_reward(load_task("chain"))
    columns = {key: [r[key] for r in rows] for key in rows[0]}
    prompts = columns.pop("prompt")
    golds = [r["answer"] for r in rows]
    assert reward(prompts=prompts, completions=golds, completion_ids=[[1]] * 5, trainer_state=None, **columns) == [1.0] * 5
    turned = [[{"role": "assistant", "content": g}] for g in golds]
    assert reward(prompts=prompts, completions=turned, **columns) == [1.0] * 5
    expected = [task.verify(task.problem(i, "validation", 3), Reply(golds[i - 1])).score for i in range(5)]
    assert reward(prompts=prompts, completions=golds[-1:] + golds[:-1], **columns) == expected and 0.0 in expected
    assert reward.__name__ == "chain_verified"


def test_difficulty_keys_travel():
    (row,) = as_trl_dataset(load_task("addition"), 1, digits=4)
    p = load_task("addition").problem(0, digits=4)
    assert row["answer"] == p.answer
    assert as_trl_reward(load_task("addition"))(completions=[p.answer], address=[row[ADDRESS]]) == [1.0]


def test_rows_of_another_task_and_failing_verifiers_are_errors():
    (row,) = as_trl_dataset(load_task("addition"), 1)
    with pytest.raises(RewardError, match="addition"):
        as_trl_reward(load_task("chain"))(completions=["1"], address=[row[ADDRESS]])
    with pytest.raises(VerifierError, match="no power"):
        as_trl_reward(Broken())(completions=["1"], address=[as_trl_dataset(Broken(), 1)[0][ADDRESS]])


def test_what_cannot_be_exported_is_said(tmp_path):
    (tmp_path / "q.csv").write_text("q,a\n" + "".join(f"{i}?,{i}\n" for i in range(40)))
    few = load_file(tmp_path / "q.csv", "q", "a", "number")
    with pytest.raises(InputError, match="1000 rows"):
        as_trl_dataset(few, 1000)
    with pytest.raises(InputError, match="at least 1"):
        as_trl_dataset(few, 0)
    with pytest.raises(InputError, match="tools"):
        as_trl_dataset(Environment("e", lambda seed: None, (0, 1)), 1)


def test_rows_become_a_dataset_of_the_hub_library():
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(as_trl_dataset(load_task("logic"), 3))
    assert made.num_rows == 3 and made[1]["prompt"][0]["role"] == "user"


@pytest.mark.filterwarnings("ignore")
def test_verifiers_scores_our_task_as_we_do():
    vf = pytest.importorskip("verifiers")
    task = load_task("addition")
    env = as_verifiers_environment(task, 3)
    golds = [task.problem(i).answer for i in range(3)]
    if not hasattr(vf, "SingleTurnEnv"):
        rows = list(env)
        assert rows[2].data.prompt_text.startswith(task.problem(2).question.prompt)
        reward = rows[2].hooks("reward")[0]
        assert reward.__name__ == "verified"
        for text, score in ((golds[2], 1.0), (golds[2] + "9", 0.0), (None, 0.0)):
            assert asyncio.run(reward(SimpleNamespace(last_reply=text))) == score
        return
    for i, row in enumerate(env.get_dataset()):
        for text, score in ((golds[i], 1.0), (golds[i] + "9", 0.0)):
            assert asyncio.run(paid(vf, env, row, text)) == score
    broken = as_verifiers_environment(Broken(), 1)
    assert math.isnan(asyncio.run(paid(vf, broken, broken.get_dataset()[0], "1")))


async def paid(vf, env, row, text):
    """What the library's own rubric gives a completion."""
    (function,) = (f for rubric in env.rubric.rubrics for f in rubric.funcs if f.__name__ == "verified")
    state = vf.State(input={**row, "task": "default"}, completion=[{"role": "assistant", "content": text}], trajectory=[])
    return await env.rubric.rubrics[0]._call_individual_reward_func(function, state)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "verifiers", None)
    with pytest.raises(MissingExtra, match="verifiers"):
        as_verifiers_environment(load_task("addition"), 1)
