"""Decoding with transformers' own modules and caches: for models that the local engine does not cover, and to compare with it.

Rows that are decoded together have equal lengths, so that nothing is ever padded: a recurrent layer has no mask. Draws are
addressed as in the local engine; values agree with it to rounding.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.context import Context, Turn
from ..core.errors import EngineError
from ..core.rng import addresses, uniforms
from ..models.foreign import ForeignDecoder, as_foreign
from ..models.layout import rectangle
from ..models.model import Model
from .base import check_begun, check_setting, too_long
from .plan_torch import draw, entropies
from .stops import Stops
from .tree import Tree
from .work import Answer

ROWS = 256  # decoded at once; further asks wait
CELLS = 1 << 15  # tokens of one prefill


@dataclass
class _Ask:
    """A live ask and what it has written."""

    context: Context
    limit: int
    stops: Stops | None
    setting: tuple[float, float, int]
    role: str
    address: np.uint64
    answer: Answer
    ids: list[int] = field(default_factory=list)
    logp: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    state: int = 0

    def write(self, token: int, logp: float, entropy: float, ends: frozenset[int]) -> str:
        """Take a token; "stop" or "length" where the turn is over by it, else nothing."""
        self.ids.append(token)
        self.logp.append(logp)
        self.entropy.append(entropy)
        if self.stops is not None:
            if self.stops.next[self.state, token] < 0:
                self.stops.learn(self.state, token)
            self.state = int(self.stops.next[self.state, token])
        stopped = token in ends or (self.stops is not None and self.state == self.stops.hit)
        return "stop" if stopped else "length" if len(self.ids) >= self.limit else ""


@dataclass
class _Cohort:
    """Rows of equal length: the module's cache, and the hidden state [B, D] of each row's last token."""

    asks: list[_Ask]
    cache: Any
    hidden: Tensor


def _select(cache: Any, rows: Tensor) -> None:
    """Keep these rows of a cache, in this order; a row may come more than once."""
    cache.reorder_cache(rows)


class TransformersEngine:
    """Decodes for any number of concurrent asks.

    rows       most asks decoded at once
    decoder    the module behind the decoder's interface; for a model of ours a copy, made anew when its weights have changed
    stats      counters since the last reset: asks, tokens sampled, nodes (tokens computed), steps
    """

    def __init__(self, model: Model, rows: int = ROWS) -> None:
        self.model, self.rows = model, rows
        self.loop: asyncio.AbstractEventLoop | None = None
        self.wake: asyncio.Event | None = None
        self.stops: dict[tuple[str, ...], Stops] = {}
        self.planned, self.root = -1, Context.root(model.tokenizer)
        self.reset()

    def reset(self) -> None:
        """A new step, with the weights as they are now. Nothing may be live."""
        if isinstance(self.model.decoder, ForeignDecoder):
            self.decoder = self.model.decoder
        elif self.planned != self.model.decoder.version:
            self.decoder = as_foreign(self.model)
        self.planned = self.model.decoder.version
        self.tree = Tree()
        self.root.release()
        self.root = Context.root(self.model.tokenizer)
        self.queue: list[_Ask] = []
        self.cohorts: list[_Cohort] = []
        self.dropped: list[Answer] = []
        self.stats = {"asks": 0, "tokens": 0, "nodes": 0, "steps": 0, "cancelled": 0}

    @property
    def busy(self) -> bool:
        return bool(self.queue or self.cohorts)

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
        """A turn written after `context`, in due time. Raises PromptTooLong, and InputError as the local engine does."""
        check_setting(max_tokens, temperature, top_p, top_k)
        check_begun(context)
        room = self.decoder.config.context - context.n
        if room < 1:
            raise too_long(context, self.decoder.config.context)
        answer = Answer(self, self.loop)
        base, kind, nth = place
        at = addresses(0, *(np.array(x, np.uint64) for x in (base, context.hash, kind, nth)))
        ask = _Ask(context, min(max_tokens, room), self._stops(stop), (temperature, top_p, top_k), role, np.uint64(at), answer)
        self.queue.append(ask)
        if self.wake is not None:
            self.wake.set()
        return answer

    def _stops(self, strings: tuple[str, ...]) -> Stops | None:
        if strings and strings not in self.stops:
            pieces = self.model.tokenizer.pieces
            self.stops[strings] = Stops(strings, pieces + [""] * (self.decoder.config.vocabulary - len(pieces)))
        return self.stops.get(strings)

    def drop(self, answer: Answer) -> None:
        """Forget a cancelled ask."""
        self.dropped.append(answer)

    def check_prompt(self, context: Context, tokens: int = 0) -> None:
        """Raises InputError for a context without tokens, PromptTooLong where it and so many further `tokens` do not fit."""
        check_begun(context)
        self.decoder.check_length(context.n + tokens)

    # ---- decoding

    @torch.no_grad()
    def step(self, most: int = 1) -> None:
        """One token for every live ask; those that are over get their turns."""
        if self.dropped:
            self._clear_dropped()
        free = self.rows - sum(len(c.asks) for c in self.cohorts)
        asks, self.queue = self.queue[:free], self.queue[free:]
        if asks:
            self._admit(asks)
        for cohort in self.cohorts:
            self._token(cohort)
        self.cohorts = [c for c in self.cohorts if c.asks]
        self.stats["steps"] += 1

    def _admit(self, asks: list[_Ask]) -> None:
        """Prefill: each distinct context once, those of one length together."""
        self.stats["asks"] += len(asks)
        by: dict[Context, list[_Ask]] = {}
        for ask in asks:
            by.setdefault(ask.context, []).append(ask)
        for n, group in groupby(sorted(by, key=lambda c: c.n), key=lambda c: c.n):
            contexts, most = list(group), max(1, CELLS // n)
            for i in range(0, len(contexts), most):
                self._prefill([by[c] for c in contexts[i : i + most]])

    def _prefill(self, shared: list[list[_Ask]]) -> None:
        from transformers import DynamicCache

        cache = DynamicCache(config=self.decoder.module.config)
        hidden = self._extend(cache, [list(same[0].context.ids) for same in shared])
        rows = torch.tensor([i for i, same in enumerate(shared) for _ in same], device=hidden.device)
        if len(rows) > len(shared):
            _select(cache, rows)
            hidden = hidden[rows]
        self.cohorts.append(_Cohort([ask for same in shared for ask in same], cache, hidden))

    def _extend(self, cache: Any, tokens: list[list[int]]) -> Tensor:
        """The last hidden states [B, D] after some more tokens in every row of a cache."""
        body = self.decoder.module.base_model
        name = "past_key_values" if "past_key_values" in inspect.signature(body.forward).parameters else "cache_params"
        self.stats["nodes"] += len(tokens) * len(tokens[0])
        ids = torch.tensor(tokens, device=self.decoder.device)
        found: Tensor = self.decoder.call(body, input_ids=ids, use_cache=True, **{name: cache}).last_hidden_state
        return found[:, -1]

    def _token(self, cohort: _Cohort) -> None:
        """One token for every row; rows that are over leave."""
        ends, asks = self.model.tokenizer.ends, cohort.asks
        tokens, logps, entropy = self._sample(cohort)
        self.stats["tokens"] += len(asks)
        kept = []
        for row, ask in enumerate(asks):
            ended = ask.write(tokens[row], logps[row], entropy[row], ends)
            if not ended:
                kept.append(row)
            elif not ask.answer.done():
                ids, values, unsure = tuple(ask.ids), np.array(ask.logp, np.float32), np.array(ask.entropy, np.float32)
                ask.answer.give(Turn(ask.context, ask.role, self.model.writer, ask.setting[0], ended, ids, values, entropy=unsure))
        self._keep(cohort, kept)
        if kept:
            cohort.hidden = self._extend(cohort.cache, [[ask.ids[-1]] for ask in cohort.asks])

    def _sample(self, cohort: _Cohort) -> tuple[list[int], list[float], list[float]]:
        """A token, its log-probability and the entropy it was drawn at, for each row."""
        device = cohort.hidden.device
        column = lambda values, dtype: torch.tensor(values, dtype=dtype, device=device)
        temperature, top_p, top_k = zip(*(ask.setting for ask in cohort.asks))
        greedy = column(temperature, torch.float64) <= 0
        scale = 1 / column(temperature, torch.float64).where(~greedy, 1).float()
        logps = (self.decoder.logits(cohort.hidden).float() * scale[:, None]).log_softmax(-1)
        u = uniforms(np.array([ask.address for ask in cohort.asks]), np.array([len(ask.ids) for ask in cohort.asks]))
        rows = torch.arange(len(logps), device=device)
        token = draw(logps, rows, torch.as_tensor(u, device=device), greedy, column(top_p, torch.float64), column(top_k, torch.int64))
        return token.tolist(), logps[rows, token].tolist(), entropies(logps).tolist()

    @staticmethod
    def _keep(cohort: _Cohort, rows: list[int]) -> None:
        """Go on with these rows alone."""
        if rows and len(rows) < len(cohort.asks):
            at = torch.tensor(rows, device=cohort.hidden.device)
            _select(cohort.cache, at)
            cohort.hidden = cohort.hidden[at]
        cohort.asks = [cohort.asks[row] for row in rows]

    def _clear_dropped(self) -> None:
        """Cancelled asks leave: billed, recorded as cancelled, never a row."""
        gone = {id(a) for a in self.dropped}
        self.dropped = []
        self.queue = [ask for ask in self.queue if id(ask.answer) not in gone]
        for cohort in self.cohorts:
            self._keep(cohort, [row for row, ask in enumerate(cohort.asks) if id(ask.answer) not in gone])
        self.cohorts = [c for c in self.cohorts if c.asks]
        self.stats["cancelled"] += len(gone)

    # ---- values of given text

    @torch.no_grad()
    def score(self, context: Context, ids: Sequence[int]) -> NDArray[np.float32]:
        """Log-probability of each given token after `context` at temperature 1, in nats, float32 [n]."""
        self.check_prompt(context)
        hidden = self.decoder(rectangle([[*context.ids, *ids][:-1]]))[context.n - 1 :]
        return self.decoder.token_logprobs(hidden, torch.tensor(ids), torch.ones(len(ids)))[0].float().cpu().numpy()  # type: ignore[no-any-return]

    @torch.no_grad()
    def look(self, context: Context, what: Sequence[str]) -> dict[str, Tensor]:
        """Values inside the model over a context: "hidden" [n, D], "logprobs" [n, V]. Raises EngineError for what it does not have."""
        unknown = set(what) - {"hidden", "logprobs"}
        if unknown:
            raise EngineError(f"the transformers engine cannot show {', '.join(sorted(unknown))}; it has hidden and logprobs")
        self.check_prompt(context)
        hidden = self.decoder(rectangle([context.ids]))
        out = {"hidden": hidden.float().cpu()} if "hidden" in what else {}
        return out | ({"logprobs": self.decoder.logits(hidden).float().log_softmax(-1).cpu()} if "logprobs" in what else {})
