"""TRAAC's numbers worked by hand, and its traps: attention from another place than the end of the thought, classes counted after rewriting, tokens
that are learnt from with probabilities of another time, and a penalty for length that passes for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.solvers.test_thinking import model_of as family_model
from tests.support import Sums, model_of, start_of, weights_of
from thinkery.core.context import Context, Ids, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import Stream
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.lab import catalogue
from thinkery.learning import checkpoint, losses, rewards, select
from thinkery.learning.collect import Collector
from thinkery.learning.loop import Learning
from thinkery.learning.memory import Seen
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.select import Asking, Selecting
from thinkery.models.model import Model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.solvers import single

traac = catalogue.load("traac")
TOKENIZER = character_tokenizer()


def replied(score: float, tokens: int, index: int = 0, k: int = 0, **noted: float) -> Rollout:
    ids = tuple(5 + i % 10 for i in range(tokens))
    turn = Turn(Context.root(TOKENIZER), "policy", ("tiny", 0), 1.0, "stop", ids, np.zeros(tokens, np.float32))
    problem = Problem(str(index), Question("q"), "1")
    return Rollout(0, index, k, problem, [turn], Reply("1"), Verdict(score, "1"), dict(noted))


def group(index: int, right: int, lengths: Sequence[int]) -> list[Rollout]:
    """Replies to one problem, the first `right` of them right."""
    return [replied(float(k < right), n, index, k) for k, n in enumerate(lengths)]


# ---- how much is left out


def test_steps_left_out_worked_by_hand() -> None:
    peaked = [0.91] + [0.01] * 9  # H = 0.0858 + 9 * 0.04605 = 0.5003, log 10 = 2.3026
    assert traac.uniformity(peaked) == pytest.approx(0.21728, abs=1e-4)
    assert [traac.spared(peaked, rate, 0.8) for rate in (0.6, 0.4, 0.2)] == [4, 3, 1]  # 4.70, 3.13, 1.57
    assert traac.spared(peaked, 0.6, 0.2) == 0, "above the gate all is kept"
    assert traac.uniformity([0.7, 0.1, 0.1, 0.1]) == pytest.approx(0.6784, abs=1e-4)
    assert traac.spared([0.7, 0.1, 0.1, 0.1], 0.6, 0.8) == 0  # 0.77
    for even in ([0.25] * 4, [0.0] * 4, [0.3]):
        assert traac.uniformity(even) == pytest.approx(1.0) and traac.spared(even, 0.6, 1.0) == 0
    assert traac.uniformity([1.0, 0.0]) == 0.0


# ---- classes


def test_classes_by_pass_rate() -> None:
    found = group(0, 8, [3] * 10) + group(1, 7, [3] * 10) + group(2, 3, [3] * 10) + group(3, 2, [3] * 10)
    assert traac.classes(found) == ["easy"] * 10 + ["medium"] * 20 + ["hard"] * 10


def test_the_pass_rate_is_that_before_rewriting() -> None:
    """Of a hard problem's pool only right, rewritten replies are drawn: it is hard still, and what is short is worth half."""
    reward = traac.recipe(Setting(Sums())).flat()[0].reward
    first = group(0, 1, [10, 20, 20, 20])
    reward.score(first)
    assert first[0].rewards["passed"] == 0.25
    pool = [first[0], *(replied(1.0, 5, 0, k, passed=0.25) for k in (1, 2, 3))]
    reward.score(pool)
    assert [r.rewards["passed"] for r in pool] == [0.25] * 4
    assert [r.rewards["brief"] for r in pool] == pytest.approx([0.5 * traac.worth(n, [10, 5, 5, 5]) for n in (10, 5, 5, 5)])
    fresh = group(0, 4, [10, 5, 5, 5])
    reward.score(fresh)
    assert fresh[1].rewards["brief"] == 2 * pool[1].rewards["brief"]


# ---- what is short


def test_the_worth_of_a_length_by_hand() -> None:
    among = [10, 20, 30]
    want = {5: 1.0, 10: 1.0, 15: 0.924142, 20: 0.5, 25: 0.25, 30: 0.006693, 90: 0.0}
    assert {n: traac.worth(n, among) for n in want} == pytest.approx(want, abs=1e-6)
    assert traac.worth(20, [20]) == 0.5 and traac.worth(19, [20]) == 1.0
    assert traac.worth(10**6, [1]) == pytest.approx(0, abs=1e-100)


def test_each_class_has_lengths_of_its_own_and_wrong_replies_earn_nothing() -> None:
    found = group(0, 4, [10, 10, 30, 30]) + group(1, 2, [50, 90, 1, 1])
    values = traac.brief(found, {"steps": []})
    assert values[:4] == pytest.approx([1, 1, traac.worth(30, [10, 30])] + [traac.worth(30, [10, 30])])
    assert values[4:] == pytest.approx([0.75, 0.75 * traac.worth(90, [50, 90]), 0, 0]), "beside the easy ones' lengths it would be nothing"


def test_ten_steps_count() -> None:
    state: dict[str, Any] = {"steps": []}
    for n in range(1, 13):
        state = traac.remembered(state, Seen(n, [*group(0, 1, [100 * n]), Rollout(0, 9, 0, Problem("9", Question("q"), "1"), error="x")]))
    assert [step["easy"] for step in state["steps"]] == [[100 * n] for n in range(4, 13)]
    (value,) = traac.brief(group(0, 1, [400]), state)
    assert value == traac.worth(400, [*range(400, 1300, 100), 400]) == 1
    assert traac.brief(group(0, 1, [1200]), state)[0] == pytest.approx(traac.worth(1200, [*range(400, 1300, 100), 1200]))
    (hard,) = [x for x in traac.brief(group(1, 1, [50, 1, 1, 1]), state) if x]
    assert hard == 0.5 * traac.worth(50, [50]), "of its class nothing is remembered"


def test_the_form_is_paid_for_one_closing() -> None:
    said = []
    for text in ("1#1", "1#1#1", "1", "#"):
        ids = TOKENIZER.encode(text)
        turn = Turn(Context.root(TOKENIZER), "policy", ("tiny", 0), 1.0, "stop", ids, np.zeros(len(ids), np.float32))
        said.append(Rollout(0, 0, 0, Problem("0", Question("q"), "1"), [turn], Reply("1"), Verdict(0.0, "1")))
    scores = traac.plain(Setting(Sums())).flat()[0].reward.score(said)
    assert [sum(w * v[i] for w, v in scores) for i in range(4)] == [0.5, 0.25, 0.0, 0.5]


# ---- rewriting


class Over(Sums):
    """Sums whose answer is worked out three times."""

    name, max_tokens, styles = "over", 14, ("trace",)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        tail = reply.text.rpartition("#")[2]
        return Verdict(float(tail == problem.answer), tail or None)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return ";".join([problem.answer] * 3) + "#" + problem.answer


SETTING = Setting(Over())


PEAK = [*(1e-6 * i for i in range(20)), 1.0]


@dataclass(frozen=True)
class Peaked(traac.Rewriting):  # type: ignore[misc]
    """With attention to the last step alone."""

    def importance(self, session: Session, context: Context, begin: int, steps: Sequence[Ids]) -> list[float]:
        return PEAK[-len(steps) :]


@pytest.fixture(scope="module")
def over() -> Model:
    """A model that works it out three times, and is mostly right."""
    model = model_of(sharp=1.0)
    stage = Stage(
        name="sft", steps=100, problems=25, samples=1, source="demonstrations", reward=rewards.NOTHING, losses=(losses.cross_entropy(),),
        optimizer=Optimizer(lr=5e-3), shards=1,
    )  # fmt: skip
    learning = Learning(Recipe((stage,)), SETTING, model)
    while not learning.done:
        learning.step()
    return model


def learning_of(model: Model, chosen: Any = Peaked(), workers: int = 1, problems: int = 6) -> Learning:
    recipe = traac.recipe(SETTING).rl(steps=2, problems=problems, samples=4, select=Asking(chosen), optimizer=Optimizer(lr=1e-3, warmup=1))
    return Learning(recipe, SETTING, start_of(model), workers)


def rewritten(learning: Learning) -> list[Rollout]:
    """Those learnt from that were not sampled."""
    assert learning.learnt is not None
    sampled = set(map(id, learning.rollouts))
    return [r for r in learning.learnt[0] if id(r) not in sampled]


def test_what_is_rewritten_lacks_a_step_and_is_answered_again(over: Model) -> None:
    learning = learning_of(over)
    metrics = learning.step()
    made = rewritten(learning)
    assert len(made) > 2 and metrics["accuracy"] > 0.3
    sampled = {(r.index, r.k): r for r in learning.rollouts}
    for r in made:
        old, (head, tail) = sampled[r.index, r.k], r.turns
        assert old.verdict is not None and r.verdict is not None and old.verdict.score == 1
        steps = old.turns[0].text.partition("#")[0].split(";")
        n = traac.spared(PEAK[-len(steps) :], traac.RATES[traac.classes([old])[0]], traac.GATE)
        assert n > 0 and head.text == ";".join(steps[n:]) + "#", "the first steps had the least attention"
        assert r.reply == Reply(head.text + tail.text, tail.ended == "length")
        assert r.verdict == Over().verify(r.problem, r.reply)
        assert r.rewards["passed"] == old.rewards["passed"]
    assert learning.learnt is not None
    kept, batch = learning.learnt
    assert [sum(r.index == i for r in kept) for i in range(6)] == [4] * 6, "as many as were sampled"
    assert batch.sampled[batch.mask].all() and metrics["drift"] < 1e-5, "learnt from as its own, the first ratio being 1"
    assert 0 < metrics["select/rewritten"] <= 1 and 0 <= metrics["select/still right"] <= 1
    learning.leave()


def test_switched_off_the_groups_are_others(over: Model) -> None:
    """A penalty for length alone learns from what was sampled; so does a gate that lets nothing through."""
    ends = []
    for chosen in (Peaked(), Peaked(gate=-1.0)):
        learning = learning_of(over, chosen)
        learning.step()
        ends.append((len(rewritten(learning)), weights_of(learning.model)))
        learning.leave()
    assert ends[0][0] > 0 == ends[1][0] and ends[0][1] != ends[1][1]
    assert traac.short(SETTING).flat()[0].select is select.everything


def test_the_same_with_workers_and_resumed(over: Model, tmp_path: Path) -> None:
    def outcome(learning: Learning) -> tuple[list[dict[str, float]], bytes]:
        metrics = []
        while not learning.done:
            metrics.append(learning.step())
        learning.leave()
        return metrics, weights_of(learning.model)

    metrics, weights = outcome(learning_of(over))
    assert outcome(learning_of(over, workers=2)) == (metrics, weights)
    first = learning_of(over)
    first.step()
    folder = checkpoint.save(first, tmp_path)
    first.leave()
    again = learning_of(over)
    checkpoint.load(again, folder)
    assert outcome(again) == (metrics[1:], weights)


def test_random_eviction_leaves_out_as_many_but_others(over: Model) -> None:
    heads = []
    for random in (False, True):
        learning = learning_of(over, Peaked(random=random), problems=12)
        learning.step()
        heads.append({(r.index, r.k): r.turns[0].n for r in rewritten(learning)})
        first = {r.turns[0].text.partition("#")[0].endswith(";") for r in rewritten(learning)}
        learning.leave()
        assert first == {False} if not random else True in first, "the last step goes only by chance"
    both = heads[0].keys() & heads[1].keys()
    assert both and all(abs(heads[0][x] - heads[1][x]) <= 1 for x in both)


# ---- attention


def chosen(model: Model, rollouts: Sequence[Rollout], task: Any, method: Any) -> tuple[list[Rollout], Selecting]:
    """What the method makes of rollouts of a problem, and with what it did so."""
    engine = LocalEngine(model)
    ctx = Selecting(Collector(task, engine, single, Sampling(40), 0), 0)
    (found,) = run([method([rollouts], ctx)], [engine])
    if isinstance(found, BaseException):
        raise found
    return found, ctx


def written(model: Model, text: str, k: int = 0) -> Rollout:
    """A right reply in these words."""
    chat, question = model.tokenizer.chat, Question("0+1=")
    ids = (chat.controls.encode(text) if chat else model.tokenizer.encode(text)) + (model.tokenizer.end,)
    turn = Turn(
        model.context(Context.root(model.tokenizer), question), "policy", ("m", 0), 1.0, "stop", ids, np.zeros(len(ids), np.float32)
    )
    return Rollout(0, 0, k, Problem("0+1", question, "1"), [turn], Reply("1"), Verdict(1.0, "1"))


def looking(seen: list[Any], **values: Any) -> Any:
    """The method, telling of what it looks at."""

    class Telling(traac.Rewriting):  # type: ignore[misc]
        def importance(self, session: Session, context: Context, begin: int, steps: Sequence[Ids]) -> list[float]:
            found: list[float] = super().importance(session, context, begin, steps)
            rows = session.look(context, ("attention",))["attention"].numpy()
            seen.append((context, begin, steps, found, rows))
            return found

    return Telling(**values)


@pytest.mark.parametrize(("layers", "of"), [(0.5, 1), (1.0, 2), (0.0, 1)])
def test_importance_is_the_mean_attention_from_where_the_thought_is_closed(layers: float, of: int) -> None:
    seen: list[Any] = []
    chosen(model_of(), [written(model_of(), "1;2;33#1")], Over(), looking(seen, layers=layers))
    ((context, begin, steps, found, rows),) = seen
    assert context.text.endswith("0+1=1;2;33#") and context.ids[-1:] == TOKENIZER.encode("#")
    assert [TOKENIZER.decode(s) for s in steps] == ["1;", "2;", "33"]
    assert rows.shape == (2, context.n) and context.ids[begin] == TOKENIZER.encode("1")[0]
    row = rows[:of].mean(0)
    assert found == pytest.approx([row[begin : begin + 2].mean(), row[begin + 2 : begin + 4].mean(), row[begin + 4 : begin + 6].mean()])


def test_thoughts_of_a_chat_model_end_with_a_cue_and_their_tag() -> None:
    model, seen = family_model("qwen3"), list[Any]()

    class First(traac.Rewriting):  # type: ignore[misc]
        """With attention to the first two steps."""

        def importance(self, session: Session, context: Context, begin: int, steps: Sequence[Ids]) -> list[float]:
            seen.append((context, steps))
            return [1.0, 1e-6, 1e-9, 1e-8]

    text = "<think>\nIt is 1. Wait, 1. Hmm, 1. So 1.</think>\n\n1"
    found, _ = chosen(model, [written(model, text, k) for k in range(3)], Over(), First())
    (context, steps), chat = seen[0], model.tokenizer.chat
    end = model.tokenizer.encode(traac.CUE) + chat.controls.encode("</think>")
    assert context.ids[-len(end) :] == end
    assert [model.tokenizer.decode(s).strip() for s in steps] == ["It is 1.", "Wait, 1.", "Hmm, 1.", "So 1."]
    made = [r for r in found if len(r.turns) == 2]
    assert made and all(chat.split(r.turns[0].context.ids, r.turns[0].ids).thought == "It is 1. Wait, 1." for r in made)
    assert all(traac.CUE.strip() not in t.text for r in made for t in r.turns), "the cue is looked at, never learnt"


def test_wrong_cut_off_and_formless_replies_stay_as_they_are() -> None:
    model = model_of()
    rollouts = [written(model, text, k) for k, text in enumerate(("1;1;1", "1;1#1#1", "#1", "1;1;1#1"))]
    rollouts[3].verdict = Verdict(0.0, "1")
    found, ctx = chosen(model, rollouts, Over(), Peaked())
    assert sorted(r.k for r in found) == [0, 1, 2, 3] and not ctx.metrics and not ctx.sessions


def test_a_thought_without_room_for_the_cue_stays() -> None:
    """The context holds the reply, but not the cue as well."""
    model = family_model("qwen3")
    text = "<think>" + "Wait, 1. " * 3 + "</think>1"
    room = written(model, text).turns[0]
    model.decoder.config = replace(model.decoder.config, context=room.context.n + room.n + 2)
    found, ctx = chosen(model, [written(model, text, k) for k in range(2)], Over(), traac.Rewriting(gate=1.0))
    assert [len(r.turns) for r in found] == [1, 1] and ctx.metrics["rewritten"] == 0


# ---- the claim


def test_its_claim_is_made_from_a_start_that_overthinks() -> None:
    claim = traac.CLAIM
    task = claim.setting.task
    assert claim.must_move in claim.arms and all(c.why for c in claim.comparisons)
    texts = [task.demonstration(task.problem(i), style, Stream(i)) for i in range(80) for style in claim.setting.start.styles]
    copies: Mapping[int, int] = {n: sum(t.count(";") == n for t in texts) for n in range(5)}
    assert all(copies.values()) and sum(copies.values()) == 160
    right = [task.verify(task.problem(i), Reply(task.demonstration(task.problem(i), "corrupted", Stream(i)))).score for i in range(40)]
    assert right == [0.0] * 40
