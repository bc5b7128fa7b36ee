"""Sampling on a vLLM server: token ids in, token ids and log-probabilities out, weights sent after each update.

A server can be wrong in ways that only its numbers show, so after every change of weights some of its log-probabilities are
compared with the learner's own, and a difference stops the run with its likely cause.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.context import Context, Turn
from ..core.errors import BadConfig, EngineError
from ..core.rng import rng
from ..models.layout import rectangle
from ..models.model import Model
from .base import check_begun, check_setting, too_long
from .remote import AT_ONCE, Call, Remote, Server, seed_of
from .work import Answer

PROBE = 64  # tokens of the prompt that is asked after each change of weights: several blocks of a server's prefix cache
PROBED = 8  # tokens drawn after it
PROBE_TEMPERATURE = 0.7  # not 1, so that it shows whether the log-probabilities know of it
BOUND = 0.1  # nats: how far they may be from the learner's on average; a server in bfloat16 stays well below
HERE = ("localhost", "127.0.0.1", "::1")
IDS, TEXT = "/inference/v1/generate", "/v1/completions"  # the newer route takes and gives ids alone


class VllmEngine(Remote):
    """Asks a vLLM server that holds the model's weights; satisfies `Engine`.

    served    the name under which the server knows the weights as they are now
    route     which of its two routes gives ids and log-probabilities
    stats     asks, tokens sampled, cancelled
    """

    def __init__(self, model: Model, url: str, at_once: int = AT_ONCE, server: Server | None = None, bound: float = BOUND) -> None:
        server = server or Server(url)
        self.bound = bound
        self.own: Any = None  # the server, if it was started for this engine
        found = server.call("/version")
        if not isinstance(found, dict) or "version" not in found:
            raise BadConfig(f"{server.url} is no vLLM server (its /version says {str(found)[:60]!r}); for others give --model {server.url}")
        self.version, self.base = str(found["version"]), str(server.call("/v1/models")["data"][0]["id"])
        self.served, self.sent = self.base, 0 if model.decoder.adapter is None else -1
        self.folder = Path(tempfile.mkdtemp(prefix="thinkery-weights-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.before: tuple[tuple[int, ...], NDArray[np.float32]] | None = None
        super().__init__(server, model, at_once)
        self.route = IDS if self._has(IDS) else TEXT
        self.checked = -1

    def _has(self, route: str) -> bool:
        try:
            self.server.call(route, self._body(route, [1], 1, (), (1.0, 1.0, 0), 0))
        except (BadConfig, EngineError):
            return False
        return True

    def reset(self) -> None:
        """A new step: the server's weights are made those of the learner now, and compared. Raises EngineError, BadConfig."""
        self.begin()
        version = self.model.decoder.version
        if self.sent != version:
            self._send(version)
            self.sent = version
        if self.checked != version:
            self._check()
            self.checked = version

    # ---- asks

    def ask(
        self,
        context: Context,
        max_tokens: int,
        stop: tuple[str, ...],
        temperature: float,
        top_p: float,
        top_k: int,
        role: str,
        place: tuple[int, int, int],
    ) -> Answer:
        """A turn written after `context`, in due time. Raises PromptTooLong and InputError.

        Under top_p or top_k the server's log-probabilities are those of the set that was kept: they are not given (nan).
        """
        check_setting(max_tokens, temperature, top_p, top_k)
        check_begun(context)
        holds = self.model.decoder.config.context
        if context.n >= holds:
            raise too_long(context, holds)
        route = TEXT if stop else self.route  # a server that takes ids alone may have no text to find stop strings in
        limit, setting = min(max_tokens, holds - context.n), (temperature, top_p, top_k)
        body = self._body(route, list(context.ids), limit, stop, setting, seed_of(context, place))
        writer = self.model.writer

        def work(call: Call) -> tuple[Turn, dict[str, int]]:
            ids, logp, reason = self._completion(route, body, call)
            if top_p < 1 or top_k:
                logp = np.full(len(ids), np.nan, np.float32)
            return Turn(context, role, writer, temperature, reason, ids, logp), {"tokens": len(ids)}

        return self.submit(work)

    def _body(
        self, route: str, ids: list[int], limit: int, stop: tuple[str, ...], setting: tuple[float, float, int], seed: int
    ) -> dict[str, Any]:
        """A request; nothing is left to defaults, which a server takes from the model's generation_config.json."""
        temperature, top_p, top_k = setting
        sampling: dict[str, Any] = {"max_tokens": limit, "temperature": temperature, "top_p": top_p, "top_k": top_k or -1, "min_p": 0.0}
        sampling |= {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": seed, "logprobs": 0}
        sampling |= {"stop_token_ids": sorted(self.model.tokenizer.ends)}
        sampling |= {"stop": list(stop), "include_stop_str_in_output": True} if stop else {}
        if route == IDS:
            return {"model": self.served, "token_ids": ids, "stream": False, "sampling_params": sampling}
        return {"model": self.served, "prompt": ids, "return_token_ids": True, "skip_special_tokens": False, **sampling}

    def _completion(self, route: str, body: dict[str, Any], call: Call | None) -> tuple[tuple[int, ...], NDArray[np.float32], str]:
        """Ids, log-probabilities and how it ended. Raises EngineError for an answer that lacks any of them."""
        found = self.server.call(route, body, call)
        try:
            choice = found["choices"][0]
            reason, ids, told = choice["finish_reason"], tuple(map(int, choice["token_ids"])), choice["logprobs"]
            logp = np.array([t["logprob"] for t in told["content"]] if route == IDS else told["token_logprobs"], np.float32)
            asked = body.get("prompt", body.get("token_ids"))
            echoed = choice.get("prompt_token_ids") or found.get("prompt_token_ids") or asked
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise EngineError(
                f"vLLM {self.version} at {self.server.url}{route} gives no token ids with log-probabilities ({type(error).__name__} {error}): "
                "it is too old for `return_token_ids`, or logprobs are switched off"
            ) from error
        if echoed != asked:
            raise EngineError(
                f"{self.server.url} read other tokens than were sent: its tokenizer is not the model's, or a proxy decodes them"
            )
        if len(logp) != len(ids) or not np.isfinite(logp).all() or reason not in ("stop", "length"):
            raise EngineError(f"{self.server.url} broke a reply off: {len(ids)} tokens, {len(logp)} log-probabilities, {reason!r}")
        return ids, logp, reason

    def check_prompt(self, context: Context, tokens: int = 0) -> None:
        """Raises InputError for a context without tokens, PromptTooLong where it and so many further `tokens` do not fit."""
        check_begun(context)
        self.model.decoder.check_length(context.n + tokens)

    def score(self, context: Context, ids: Sequence[int]) -> NDArray[np.float32]:
        """Log-probability of each given token after `context` at temperature 1, in nats, float32 [n]. Raises EngineError."""
        self.check_prompt(context, len(ids))
        prompt = [*context.ids, *ids]
        body = self._body(TEXT, prompt[:-1], 1, (), (1.0, 1.0, 0), 0) | {"prompt": prompt, "prompt_logprobs": 0}
        told = self.server.call(TEXT, body)["choices"][0].get("prompt_logprobs")
        try:
            return np.array([t[str(i)]["logprob"] for t, i in zip(told[context.n :], ids)], np.float32)
        except (TypeError, KeyError) as error:
            raise EngineError(f"{self.server.url} gives no log-probabilities of a prompt; start vLLM without prefix-only modes") from error

    def look(self, context: Context, what: Sequence[str]) -> dict[str, torch.Tensor]:
        """Raises EngineError: a server does not show what is inside."""
        raise EngineError(f"the vllm engine cannot show {', '.join(sorted(what))}: a server gives tokens alone; use --engine local")

    # ---- weights

    def _send(self, version: int) -> None:
        """Have the server take the learner's weights: an adapter under a new name, else the whole folder."""
        folder = self.folder / f"v{version}"
        self.model.save(folder, None if self.model.decoder.adapter is not None else self.model.decoder.dtype)
        if self.model.decoder.adapter is not None:
            self._send_adapter(folder, f"{self.folder.name}-v{version}")
        else:
            self._send_all(folder)
        for old in self.folder.iterdir():
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def _send_adapter(self, folder: Path, name: str) -> None:
        """A name is never used twice: under the same one a server goes on with prefixes that the old adapter computed."""
        try:
            self.server.call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        except BadConfig as error:
            raise BadConfig(
                f"{self.server.url} loads no adapters: start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            ) from error
        if self.served != self.base:
            with contextlib.suppress(EngineError, BadConfig):  # it only takes room
                self.server.call("/v1/unload_lora_adapter", {"lora_name": self.served})
        self.served = name

    def _send_all(self, folder: Path) -> None:
        """The routes for this are for development and unprotected, so only a server of this machine is asked."""
        if self.server.host not in HERE:
            raise BadConfig(
                f"{self.server.url} is on another machine, which cannot read new weights from this one: train an adapter (--lora)"
            )
        try:
            self.server.call("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
            self.server.call("/reset_prefix_cache", {})
        except BadConfig as error:
            raise BadConfig(
                f"{self.server.url} takes no new weights: start vLLM with VLLM_SERVER_DEV_MODE=1 on 127.0.0.1, or train an adapter (--lora)"
            ) from error

    # ---- agreement

    def _check(self) -> None:
        """Compare the server's log-probabilities of some drawn tokens with the learner's. Raises EngineError above the bound."""
        stream, size = rng("vllm", "probe"), self.model.tokenizer.size
        longest = min(PROBE, self.model.decoder.config.context - PROBED)
        prompt = [*self.root.ids, *(stream.below(size) for _ in range(longest - self.root.n))]
        ids, theirs, _ = self._completion(self.route, self._body(self.route, prompt, PROBED, (), (PROBE_TEMPERATURE, 1.0, 0), 1), None)
        with torch.no_grad():
            hidden = self.model.decoder(rectangle([[*prompt, *ids][:-1]]))[len(prompt) - 1 :]
            at = lambda t: self.model.decoder.token_logprobs(hidden, torch.tensor(ids), torch.full((len(ids),), t))[0].float().cpu().numpy()
            off = lambda t: float(np.abs(at(t) - theirs).mean())
            found = off(PROBE_TEMPERATURE)
            if found > self.bound:
                raise EngineError(
                    f"the log-probabilities of vLLM {self.version} at {self.server.url} are {found:.3g} nats off the learner's on average "
                    f"(bound {self.bound}), so training on them would be wrong. Likely cause: {self._cause(ids, theirs, off)}"
                )
        self.before = ids, theirs

    def _cause(self, ids: tuple[int, ...], theirs: NDArray[np.float32], off: Any) -> str:
        """What the numbers look like."""
        if self.before is not None and self.before[0] == ids and float(np.abs(self.before[1] - theirs).max()) < 1e-3:
            return (
                "it still answers with the weights of the step before: an adapter or prefix cache that was not replaced "
                "(update vLLM, or start it with --no-enable-prefix-caching)"
            )
        if off(1.0) < self.bound / 2:
            return f"raw log-probabilities, which know nothing of temperature {PROBE_TEMPERATURE}: start vLLM with --logprobs-mode processed_logprobs"
        best = min((float(t) for t in np.geomspace(0.2, 4, 61)), key=off)
        if off(best) < self.bound / 2:
            return f"it samples at temperature {best:.2g} instead of {PROBE_TEMPERATURE}: something between here and the server changes requests"
        return (
            "other weights than the learner's: another base model, an adapter that did not load, a quantised server, or position settings "
            "(rope scaling) that were lost"
        )
