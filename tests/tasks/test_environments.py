"""In an environment the model's words move something, and what moves it back is context: trained on by mistake, cut off silently or scored
on the wrong scale, it would teach the environment's text or a wrong goal."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.support import Sums, model_of
from thinkery.core.errors import BadConfig, BadData, InputError, MissingExtra, RunError, VerifierError
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.lab import doctor
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.recipe import Stage
from thinkery.solvers import environment, solver
from thinkery.tasks import SPLITS, foreign_turns, split_of
from thinkery.tasks.environments import SEEN, Environment, Episode, action_of, gymnasium_task
from thinkery.tasks.foreign import verifiers_task
from thinkery.tasks.openenv import openenv_task, written


class Corridor(Episode):
    """Walk to the end; a step back costs."""

    def __init__(self, seed, turns=6):
        super().__init__(turns)
        self.place, self.length, self.closed = 0, 2 + seed % 3, False

    def begin(self):
        self.place = 0
        return f"0 of {self.length}"

    def step(self, action):
        if action not in ("+", "-"):
            raise InputError("say + or -")
        self.place += 1 if action == "+" else -1
        there = self.place == self.length
        return f"{self.place} of {self.length}", 1.0 if there else -0.25 * (action == "-"), there

    def close(self):
        self.closed = True


@pytest.fixture
def corridor():
    return Environment("corridor", Corridor, (-1.5, 1), "Say + or -.", one_start=True, max_tokens=8)


def recited(task, script, max_tokens=8):
    """The rollout of the solver on problem 0 with the actions given."""
    task.demonstration = lambda problem, style, rng: script
    collector = Collector(task, LocalEngine(model_of()), environment, Sampling(max_tokens), 0)
    (rollout,) = collector.attempt(0, [Unit(0, 0, style="x")])
    return rollout


def test_an_episode_runs_to_its_end_and_its_return_is_the_score(corridor):
    n = corridor.open(corridor.problem(0).data).length
    rollout = recited(corridor, "-\n" + "+\n" * (n + 1))
    assert rollout.error is None
    assert rollout.reply.data == {"episode": {"return": 0.75, "turns": n + 2, "done": True, "errors": []}, "calls": []}
    assert rollout.verdict.score == pytest.approx(2.25 / 2.5) and rollout.verdict.parts["return"] == 0.75
    assert [t.text for t in rollout.turns] == ["-\n", *["+\n"] * (n + 1)]
    for turn, place in zip(rollout.turns[1:], range(-1, n)):
        assert turn.context.text.endswith(f"{place} of {n}\n")
    for before, after in zip(rollout.turns, rollout.turns[1:]):
        assert after.context.ids[: before.context.n + before.n] == (*before.context.ids, *before.ids)


def test_a_plan_scores_like_the_same_actions_one_by_one(corridor):
    for script in ("+\n+\n+\n+\n+\n+\n", "-\n" * 6, "?\n+\n-\n+\n+\n+\n", "> +\nanswer: +\n**+**\n*\n+\n+\n"):
        stepwise = recited(corridor, script).verdict
        planned = corridor.verify(corridor.problem(0), Reply(script))
        assert (stepwise.score, stepwise.parts) == (planned.score, planned.parts)


def test_sampled_actions_are_reproducible_and_every_episode_is_closed(corridor):
    opened = []

    def open_(seed):
        opened.append(Corridor(seed, 3))
        return opened[-1]

    corridor.open = open_
    collector = Collector(corridor, LocalEngine(model_of()), solver("environment"), Sampling(4), 0)
    runs = [
        [(r.reply.text, r.verdict, len(r.turns)) for r in collector.collect(0, [Unit(i, k) for i in (0, 1) for k in (0, 1)])]
        for _ in (0, 1)
    ]
    assert runs[0] == runs[1]
    assert all(e.closed for e in opened)


def test_a_turn_that_is_cut_off_ends_the_episode_with_nothing(corridor):
    session = Session(LocalEngine(model_of()), 0, Sampling(1, stop=()))
    collector = Collector(corridor, session.engine, environment, Sampling(1), 0)
    cut = [r for r in collector.collect(0, [Unit(0, k) for k in range(6)]) if r.reply.truncated]
    assert cut and all(r.verdict.score == 0 and "limit" in r.verdict.reason for r in cut)


def test_a_return_out_of_the_declared_range_is_an_error_and_so_is_a_bad_range():
    narrow = Environment("corridor", Corridor, (0, 1), one_start=True)
    with pytest.raises(VerifierError, match=r"declared 0\.\.1"):
        narrow.verify(narrow.problem(0), Reply("-\n-\n"))
    for rewards in ((1, 1), (1, 0), (0, float("inf")), (float("nan"), 1)):
        with pytest.raises(BadConfig, match="least and the largest"):
            Environment("corridor", Corridor, rewards)


def test_rewards_that_are_no_numbers_and_acting_past_the_end_are_errors():
    class Odd(Corridor):
        def step(self, action):
            return "", float("nan"), False

    with pytest.raises(RunError, match="finite"):
        Odd(0).act("+")
    over = Corridor(0, 1)
    over.act("+")
    with pytest.raises(RunError, match="over"):
        over.act("+")


def test_splits_go_by_what_is_shown_or_by_seed_if_all_begin_alike(corridor):
    for split in SPLITS:
        problems = [corridor.problem(i, split) for i in range(20)]
        assert len({p.id for p in problems}) == 20 and all(split_of(p.family) == split for p in problems)
        assert problems == [corridor.problem(i, split) for i in range(20)]
    alike = Environment("corridor", lambda seed: Corridor(0), (-1.5, 1))
    (here,) = {s for s in SPLITS if starts(alike, s)}
    for split in {*SPLITS} - {here}:
        with pytest.raises(BadConfig, match="one_start"):
            alike.problem(0, split)
    with pytest.raises(BadConfig, match="colour"):
        corridor.problem(0, colour=1)


def starts(task, split):
    """Whether the split has a problem."""
    try:
        return bool(task.problem(0, split))
    except BadConfig:
        return False


def test_the_solver_says_when_the_task_is_no_environment():
    with pytest.raises(InputError, match="single"):
        Collector(Sums(), LocalEngine(model_of()), environment, Sampling(8), 0).collect(0, [Unit(0, 0)])


def test_the_doctor_does_not_miss_a_gold_text_that_there_cannot_be(corridor):
    corridor.findings = ("mind the step",)
    found = {f.check: f for f in doctor.before(model_of(), corridor, Stage(name="rl", steps=1))}
    assert found["gold answers"].level == "note" and found["task"].level == "warning"
    doctor.stop(list(found.values()))


def test_an_action_is_what_stands_last():
    for text, action in (
        ("left", "left"),
        ("I go\n> left.\n", "left"),
        ("Answer: **up**\nas", "up"),
        ("\\boxed{up}", "up"),
        ("", ""),
        (" \n", ""),
    ):
        assert action_of(text) == action


# ---- Gymnasium


def test_frozen_lake_is_solved_and_unknown_actions_cost_a_turn():
    pytest.importorskip("gymnasium")
    task = gymnasium_task("FrozenLake-v1", (0, 1), one_start=True, is_slippery=False, desc=["SFF", "FHF", "FFG"])
    p = task.problem(0)
    assert p.question.prompt.strip() == "[S]FF\nFHF\nFFG" and p.question.instruction.endswith("left, down, right, up.")
    assert task.verify(p, Reply("Down\ndown\nright\nright\nup")).score == 1
    assert task.verify(p, Reply("fly\ndown\ndown\nright\nright")).parts == {"return": 1.0, "turns": 5.0, "errors": 1.0}
    assert task.verify(p, Reply("down\nright")).score == 0
    episode = task.tools(p, rng(0))
    episode.begin()
    assert "no action 'fly'; the actions are left" in episode.act("fly")


def ways(episode, before, after):
    """What is seen after the same actions, from a snapshot, twice, and from the beginning."""
    episode.begin()
    for action in before:
        episode.act(action)
    here, found = episode.snapshot(), []
    for _ in range(2):
        found.append(([episode.act(action) for action in after if not episode.done], episode.record(), episode.standing.acted))
        episode.restore(here)
        assert (episode.taken, episode.total, episode.done) == (len(here.acted), here.total, here.done)
    return found


@pytest.mark.parametrize("copied", [True, False], ids=["by a copy", "by its actions"])
def test_an_environment_goes_back_to_a_snapshot(copied, monkeypatch):
    pytest.importorskip("gymnasium")
    task = gymnasium_task("FrozenLake-v1", (0, 1), one_start=True)  # on slippery ice, where chance is part of the state
    for i in range(4):
        episode = task.tools(task.problem(i), rng(0))
        if not copied:
            episode.env.unwrapped.lock = threading.Lock()
            assert episode.saved() is None
        first, second = ways(episode, ["right"], ["down", "fly", "right", "down"])
        assert first == second and first[0]
        assert (episode.snapshot().world is None) == (not copied)


def test_an_environment_that_cannot_be_copied_is_brought_back_by_its_actions():
    first, second = ways(Corridor(1), ["+", "?", "-"], ["+", "+", "+"])
    assert first == second and first[1]["errors"] == [{"tool": "act", "arguments": "?", "text": "say + or -", "error": "say + or -"}]

    class Forgetful(Corridor):
        def begin(self):
            return ""

    episode = Forgetful(1)
    episode.act("+")
    with pytest.raises(RunError, match="does not repeat itself: '\\+' led to '2 of 3', before to '1 of 3'"):
        episode.restore(episode.snapshot())


def test_what_is_seen_is_bounded_and_the_cut_is_told():
    class Long(Corridor):
        def step(self, action):
            if action == "?":
                raise InputError("x" * 2 * SEEN)
            return "y" * (SEEN + 3), 0.0, False

    episode = Long(0)
    assert episode.act("+") == "y" * SEEN + "\n(and 3 characters more)"
    assert len(episode.act("?")) < SEEN + 40
    assert len(str(episode.record())) < 2 * SEEN


def test_grids_name_their_mission_and_seeds_reproduce():
    pytest.importorskip("minigrid")
    task = gymnasium_task("MiniGrid-Fetch-5x5-N2-v0", (0, 1), turns=5)
    drawn = [task.problem(i) for i in range(4)]
    assert drawn == [task.problem(i) for i in range(4)] and len({p.question.prompt for p in drawn}) > 1
    assert all("WGWGWG" in p.question.prompt for p in drawn)
    assert task.verify(drawn[0], Reply("left\nforward")).parts["turns"] == 2


def test_wrong_environments_and_names_are_said():
    pytest.importorskip("gymnasium")
    with pytest.raises(BadConfig, match="Nowhere"):
        gymnasium_task("Nowhere-v0", (0, 1))
    with pytest.raises(BadConfig, match="4 actions"):
        gymnasium_task("FrozenLake-v1", (0, 1), actions=("a", "b"))
    with pytest.raises(BadConfig, match="Box"):
        gymnasium_task("Pendulum-v1", (0, 1))


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gymnasium", None)
    with pytest.raises(MissingExtra, match="gymnasium"):
        gymnasium_task("FrozenLake-v1", (0, 1))


# ---- OpenEnv


@pytest.fixture
def server():
    """A server that counts to its seed's last digit; it refuses "stop", and says nonsense to "?"."""
    serve = pytest.importorskip("websockets.sync.server").serve

    def session(socket):
        count = goal = 0
        for text in socket:
            asked = json.loads(text)
            if asked["type"] == "reset":
                count, goal = 0, 1 + asked["data"]["seed"] % 3 + asked["data"].get("more", 0)
            elif asked["data"]["message"] == "stop":
                socket.send(json.dumps({"type": "error", "data": {"message": "not allowed", "code": "NO"}}))
                continue
            elif asked["data"]["message"] == "?":
                socket.send("{}")
                continue
            else:
                count += 1
            data = {
                "observation": {"text": f"{count} of {goal}"},
                "reward": None if count == 0 else float(count == goal),
                "done": count == goal,
            }
            socket.send(json.dumps({"type": "observation", "data": data}))

    with serve(session, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{running.socket.getsockname()[1]}/ws"
        running.shutdown()
        thread.join()


def test_an_openenv_session_is_an_episode(server):
    task = openenv_task(server, (0, 1), one_start=True, more=1)
    p = task.problem(0)
    goal = int(p.question.prompt.split()[-1])
    assert task.verify(p, Reply("go\n" * goal)).parts == {"return": 1.0, "turns": goal, "errors": 0.0}
    assert recited(task, "go\n" * goal).verdict.score == 1
    first, second = ways(task.tools(p, rng(0)), ["go"] * (goal - 1), ["go"])
    assert first == second and first[1]["return"] == 1
    many = Collector(task, LocalEngine(model_of()), environment, Sampling(1), 0).attempt(
        0, [Unit(i, k) for i in range(4) for k in range(4)]
    )
    assert all(r.error is None for r in many)
    assert task.verify(p, Reply("go\n" * (goal - 1))).score == 0
    for word, message in (("stop", "not allowed"), ("?", "no observation")):
        with pytest.raises(RunError, match=message):
            task.verify(p, Reply(word))


def test_servers_that_are_not_there_and_wrong_addresses_are_said():
    pytest.importorskip("websockets")
    with pytest.raises(BadConfig, match="ws://"):
        openenv_task("http://localhost:8000", (0, 1))
    with pytest.raises(RunError, match="start it"):
        openenv_task("ws://127.0.0.1:9/ws", (0, 1)).problem(0)


def test_observations_are_written_as_text():
    assert written({"text": "hi", "done": False, "reward": 1}) == written("hi") == "hi"
    assert json.loads(written({"a": "x", "b": [1]})) == {"a": "x", "b": [1]}


# ---- verifiers


def exact(completion, answer, **rest):
    return float(completion[-1]["content"].strip() == answer)


async def brief(completion, parser):
    await asyncio.sleep(0)
    return float(len(completion[0]["content"]) < parser)


def stub(funcs, weights, rows=60, **more):
    """What the package's environments look like from outside."""
    table = [
        {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{i}+1?"}], "answer": str(i + 1)}
        for i in range(rows)
    ]
    return SimpleNamespace(
        get_dataset=lambda: table, rubric=SimpleNamespace(funcs=funcs, weights=weights, class_objects={"parser": 5}), **more
    )


def test_a_rubric_is_the_weighted_sum_on_its_scale():
    task = verifiers_task(stub([exact, brief, exact], [1.0, 0.5, 0.0]))
    p = task.problem(0)
    assert (p.question.instruction, p.question.prompt, p.answer) == ("Be brief.", f"{int(p.answer) - 1}+1?", p.answer)
    assert task.verify(p, Reply(p.answer)).score == 1
    assert task.verify(p, Reply("no")).score == pytest.approx(1 / 3)
    assert task.verify(p, Reply("nothing at all")).parts == {"exact": 0.0, "brief": 0.0}
    assert task.verify(p, Reply(p.answer, truncated=True)).score == 0
    shown = {s: {task.problem(i, s).id for i in range(task.size(s))} for s in ("train", "validation", "test")}
    assert sum(map(len, shown.values())) == 60 and not shown["train"] & shown["test"]


def test_a_rubric_works_within_the_solvers_event_loop():
    task = verifiers_task(stub([brief], [1.0]))
    (rollout,) = Collector(task, LocalEngine(model_of()), solver("single"), Sampling(2), 0).attempt(0, [Unit(0, 0)])
    assert rollout.error is None or "lacks the character" in rollout.error


def test_a_reward_that_fails_or_leaves_its_scale_is_an_error():
    def raises(completion):
        raise KeyError("x")

    for function, message in ((raises, "KeyError"), (lambda completion: float("nan"), "nan"), (lambda completion: 7, "outside 0..1"),
                              (lambda judge: 1.0, "TypeError")):  # fmt: skip
        task = verifiers_task(stub([function], [1.0]))
        with pytest.raises(VerifierError, match=message):
            task.verify(task.problem(0), Reply("x"))
    assert verifiers_task(stub([lambda completion: 7], [1.0]), rewards=(0, 14)).verify(task.problem(0), Reply("x")).score == 0.5


def test_environments_that_cannot_be_read_are_refused():
    with pytest.raises(BadConfig, match="no function"):
        verifiers_task(stub([exact], [0.0]))
    env = stub([exact], [1.0])
    env.get_dataset = lambda: [{"prompt": [{"role": "user", "content": [{"type": "image"}]}]}]
    with pytest.raises(BadData, match="line 0"):
        verifiers_task(env)


@pytest.mark.filterwarnings("ignore")
def test_an_environment_of_the_package_itself():
    vf, datasets = pytest.importorskip("verifiers"), pytest.importorskip("datasets")
    if not hasattr(vf, "SingleTurnEnv"):
        pytest.skip("verifiers after 0.1 has no SingleTurnEnv")
    table = datasets.Dataset.from_list([{"question": f"{i}+1?", "answer": str(i + 1)} for i in range(40)])
    task = verifiers_task(vf.SingleTurnEnv(dataset=table, system_prompt="Be brief.", rubric=vf.Rubric(funcs=[exact])))
    p = task.problem(0)
    assert p.question.instruction == "Be brief." and task.verify(p, Reply(p.answer)).score == 1
    assert task.verify(p, Reply(p.answer + "0")).score == 0


# ---- verifiers, several turns


class Message(dict):
    """What the package's messages are like from outside."""


class Client:
    """The part of the package's client that ours extends."""

    def __init__(self, client):
        self.client = client

    async def get_response(self, prompt, model, sampling_args, tools=None, **more):
        native, extra = await self.to_native_prompt(prompt)
        response = await self.get_native_response(native, model, sampling_args, tools, **extra, **more)
        await self.raise_from_native_response(response)
        return await self.from_native_response(response)


class Guessing:
    """Guess a digit: "more" or "less" comes back, and the end after `max_turns`. A loop as the package has it, messages of its kind."""

    def __init__(self, max_turns=4, rows=60, broken="", **more):
        self.max_turns, self.broken, self.cleaned = max_turns, broken, 0
        self.table = [
            {
                "prompt": [{"role": "system", "content": "One digit."}, {"role": "user", "content": f"guess {i}"}],
                "answer": str(i % 10),
                "example_id": i,
            }
            for i in range(rows)
        ]
        self.rubric = SimpleNamespace(funcs=[found, brisk], weights=[1.0, 0.5], class_objects={})
        vars(self).update(more)

    def get_dataset(self):
        return self.table

    async def rollout(self, input, client, model, sampling_args=None):
        state = {"prompt": [Message(m) for m in input["prompt"]], "turns": 0, "error": None, "final_env_response": None}
        messages = list(state["prompt"])
        if self.broken == "setup":
            raise OSError("no sandbox")
        if self.broken == "prompt":
            messages.append(Message(role="user", content="and say please"))
        try:
            while state["turns"] < self.max_turns and state["final_env_response"] is None:
                response = await client.get_response(messages, model, sampling_args or {}, None, state=state)
                guess = response.message.content
                messages.append(Message(role="assistant", content=guess))
                state["turns"] += 1
                if self.broken == "later":
                    state["error"] = ValueError("lost")
                    break
                if guess == input["answer"]:
                    state["final_env_response"] = [Message(role="user", content="found")]
                elif state["turns"] < self.max_turns:
                    messages.append(Message(role="user", content="more" if guess < input["answer"] else "less"))
        finally:
            self.cleaned += 1
        state["completion"] = messages[len(state["prompt"]) :]
        return state


def found(completion, answer, **rest):
    return float(completion[-1]["content"] == answer)


async def brisk(state):
    await asyncio.sleep(0)
    return 1.0 / state["turns"]


@pytest.fixture
def package(monkeypatch):
    """A package of that name with the few parts that are used; the real one is tested where it is installed."""
    modules = __import__("sys").modules
    monkeypatch.setitem(modules, "verifiers", SimpleNamespace(Client=Client))
    monkeypatch.setitem(modules, "verifiers.types", SimpleNamespace(Response=SimpleNamespace, ResponseMessage=SimpleNamespace))
    foreign_turns.client_class.cache_clear()
    yield
    foreign_turns.client_class.cache_clear()


def test_an_environment_of_several_turns_runs_its_own_loop(package):
    env = Guessing()
    task = verifiers_task(env)
    p = next(task.problem(i) for i in range(40) if task.problem(i).answer == "5")
    assert (p.question.instruction, p.question.prompt) == ("One digit.", p.question.prompt)
    episode = task.tools(p, rng(0))
    assert episode.begin() == p.question.prompt
    assert [episode.act("3"), episode.act("8"), episode.act("5")] == ["more", "less", "found"]
    assert episode.done and episode.record() == {"return": pytest.approx(1 + 0.5 / 3), "turns": 3, "done": True, "errors": []}
    assert env.cleaned == 1
    verdict = task.verify(p, Reply("3\n8\n5", data={"episode": episode.record()}))
    assert verdict.score == pytest.approx((1 + 0.5 / 3) / 1.5)
    assert task.verify(p, Reply("5")).score == 1  # a plan
    assert task.verify(p, Reply("1\n2\n3\n4\n5")).score == pytest.approx(0.125 / 1.5)  # the fifth turn is not there
    shown = {s: {task.problem(i, s).id for i in range(task.size(s))} for s in ("train", "validation", "test")}
    assert sum(map(len, shown.values())) == 60 and not shown["train"] & shown["test"]


def test_an_environment_without_a_limit_gets_one_and_tools_are_refused(package):
    assert verifiers_task(Guessing(max_turns=-1), turns=3).env.max_turns == 3
    with pytest.raises(BadConfig, match="calls tools"):
        verifiers_task(Guessing(tool_defs=[object()]))


def test_an_episode_that_is_left_is_cleaned_up(package):
    env = Guessing()
    task = verifiers_task(env)
    episode = task.tools(task.problem(0), rng(0))
    episode.begin()
    episode.close()
    for _ in range(200):
        if env.cleaned:
            break
        time.sleep(0.01)
    assert env.cleaned == 1


@pytest.mark.parametrize(
    ("broken", "message"), [("setup", "OSError: no sandbox"), ("prompt", "changes the prompt"), ("later", "ValueError: lost")]
)
def test_an_environment_that_fails_is_an_error(package, broken, message):
    task = verifiers_task(Guessing(broken=broken))
    with pytest.raises(RunError, match=message):
        task.verify(task.problem(0), Reply("1"))


def test_many_episodes_of_several_turns_at_once(package):
    """Each hears what came of its own actions, though one thread runs them all."""
    task = verifiers_task(Guessing(rows=100, max_turns=10))

    def play(index):
        p = task.problem(index)
        episode = task.tools(p, rng(0))
        episode.begin()
        heard = [episode.act(str(guess)) for guess in range(10) if not episode.done]
        return int(p.answer), heard, episode.total

    with ThreadPoolExecutor(16) as pool:
        for answer, heard, total in pool.map(play, range(60)):
            assert heard == ["more"] * answer + ["found"]
            assert total == pytest.approx(1 + 0.5 / (answer + 1))


def test_an_environment_of_several_turns_is_acted_in_by_a_solver(package, warm):
    task = verifiers_task(Guessing(rows=100))
    units = [Unit(i, k) for i in range(8) for k in range(3)]
    found = Collector(task, LocalEngine(warm), solver("environment"), Sampling(12, 1.0), 0).attempt(0, units)
    assert [r.error for r in found] == [None] * 24
    assert {len(r.turns) for r in found} - {1}


@pytest.mark.filterwarnings("ignore")
def test_an_environment_of_several_turns_of_the_package_itself():
    vf, datasets = pytest.importorskip("verifiers"), pytest.importorskip("datasets")
    if not hasattr(vf, "Client") or not hasattr(vf, "MultiTurnEnv"):
        pytest.skip("this version of verifiers has no Client")

    class Asking(vf.MultiTurnEnv):
        async def env_response(self, messages, state, **rest):
            if messages[-1]["content"] == state["answer"]:
                state["final_env_response"] = [{"role": "user", "content": "found"}]
                return []
            return [{"role": "user", "content": "more" if messages[-1]["content"] < state["answer"] else "less"}]

    def solved(completion, answer):
        return float(any(m["content"] == answer for m in completion if m["role"] == "assistant"))

    table = datasets.Dataset.from_list([{"question": f"guess {i}", "answer": str(i % 10)} for i in range(40)])
    task = verifiers_task(Asking(max_turns=3, dataset=table, system_prompt="One digit.", rubric=vf.Rubric(funcs=[solved])))
    p = next(task.problem(i) for i in range(30) if task.problem(i).answer == "5")
    episode = task.tools(p, rng(0))
    assert episode.begin() == p.question.prompt
    assert [episode.act("3"), episode.act("8"), episode.act("5")] == ["more", "less", "found"] or episode.done
    assert episode.done and episode.total == 1
    assert task.verify(p, Reply("1\n2\n3\n5")).score == 0
    assert task.verify(p, Reply("1\n5")).score == 1
