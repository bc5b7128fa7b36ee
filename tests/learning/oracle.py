"""The gradient of a step worked out the slow way: every turn alone, torch's own operations, losses as the papers write them.

Shares nothing with the code under test but the decoder's weights and its plain forward pass on one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thinkery.core.context import Turn
from thinkery.core.records import Rollout
from thinkery.models.decoder import Decoder
from thinkery.models.layout import rectangle


@dataclass
class Row:
    """One turn under a policy: tensors over its tokens; `of` is the rollout, `place` the row's number in the batch, `problem` its index."""

    of: int
    place: int
    turn: Turn
    logp: Tensor
    entropy: Tensor
    old: Tensor
    ref: Tensor
    advantage: Tensor
    problem: int


def turn_logprobs(decoder: Decoder, turn: Turn) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of a turn's tokens, by one forward pass over its own sequence."""
    ids = (*turn.context.ids, *turn.ids)
    logits = decoder.logits(decoder(rectangle([ids[:-1]]))[turn.context.n - 1 :])
    logps = (logits / float(np.float32(turn.temperature or 1.0))).log_softmax(-1)  # a batch keeps temperatures in float32
    return logps[torch.arange(turn.n), torch.tensor(turn.ids)], -(logps.exp() * logps).sum(-1)


def rows(
    decoder: Decoder, rollouts: Sequence[Rollout], advantage: np.ndarray, trains: Sequence[str], before: Decoder, reference: Decoder
) -> list[Row]:
    """Every trained turn; `before` gives `old` (the policy before its first update), `reference` the KL's other side."""
    turns = [(i, t) for i, r in enumerate(rollouts) if r.error is None for t in r.turns if t.role in trains]
    out = []
    for place, (of, turn) in enumerate(turns):
        logp, entropy = turn_logprobs(decoder, turn)
        with torch.no_grad():
            old, ref = turn_logprobs(before, turn)[0], turn_logprobs(reference, turn)[0]
        a = advantage[place] if advantage.ndim == 1 else advantage[place][: turn.n]
        a = torch.as_tensor(a, dtype=logp.dtype).expand(turn.n)
        out.append(Row(of, place, turn, logp, entropy, old, ref, a, rollouts[of].index))
    return out


def sampled(row: Row) -> Tensor:
    return torch.full((row.turn.n,), float(not row.turn.forced), dtype=row.logp.dtype)


def gradient(decoder: Decoder, loss: Tensor) -> Tensor:
    """The flat gradient, 0 where a parameter takes no part."""
    parameters = list(decoder.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in zip(parameters, found)])


# ---- losses over rows, by the papers' formulas

Formula = Callable[[list[Row]], Tensor]


def _total(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([p.sum() for p in parts]).sum()


def _tokens(rs: list[Row]) -> int:
    return sum(r.turn.n for r in rs)


def reinforce(rs: list[Row]) -> Tensor:
    """E[A * ratio] over tokens, negated."""
    return -_total([r.advantage * (r.logp - r.old).exp() * sampled(r) for r in rs]) / _tokens(rs)


def ppo(rs: list[Row], low: float, high: float) -> Tensor:
    """min(ratio A, clip(ratio) A), eq. 7 of Schulman et al. 2017, by cases on the sign."""

    def surrogate(r: Row) -> Tensor:
        ratio = (r.logp - r.old).exp()
        gain = torch.where(r.advantage > 0, torch.clamp(ratio, max=1 + high), torch.clamp(ratio, min=1 - low)) * r.advantage
        return gain * sampled(r)

    return -_total([surrogate(r) for r in rs]) / _tokens(rs)


def kl(rs: list[Row], beta: float) -> Tensor:
    """beta * (p_ref / p - log(p_ref / p) - 1), eq. 4 of Shao et al. 2024."""
    return beta * _total([((r.ref - r.logp).exp() - (r.ref - r.logp) - 1) * sampled(r) for r in rs]) / _tokens(rs)


def entropy(rs: list[Row], scale: float) -> Tensor:
    return -scale * _total([r.entropy * sampled(r) for r in rs]) / _tokens(rs)


def cross_entropy(rs: list[Row]) -> Tensor:
    forced = [r for r in rs if r.turn.forced]
    weights = [torch.tensor(r.turn.weight.tolist(), dtype=r.logp.dtype) for r in forced]
    if not forced:
        return 0 * rs[0].logp.sum()
    return -_total([w * r.logp for w, r in zip(weights, forced)]) / float(sum(w.sum() for w in weights))


def gspo(rs: list[Row], clip: float) -> Tensor:
    """One ratio for a rollout, exp of the mean log-ratio over all its tokens (eq. 7 of Zheng et al. 2025), clipped; mean over tokens."""
    out = []
    for of in sorted({r.of for r in rs}):
        mine = [r for r in rs if r.of == of]
        n = sum(float(sampled(r).sum()) for r in mine)
        s = (_total([(r.logp - r.old) * sampled(r) for r in mine]) / max(n, 1)).exp()
        out += [torch.minimum(s * r.advantage, s.clamp(1 - clip, 1 + clip) * r.advantage) * sampled(r) for r in mine]
    return -_total(out) / _tokens(rs)


def _replies(rs: list[Row]) -> list[list[Row]]:
    return [[r for r in rs if r.of == of] for of in sorted({r.of for r in rs})]


def _mean(mine: list[Row], x: Callable[[Row], Tensor]) -> Tensor:
    return _total([x(r) * sampled(r) for r in mine]) / max(1.0, sum(float(sampled(r).sum()) for r in mine))


def gspo_by_rollout(rs: list[Row], low: float, high: float) -> Tensor:
    """Eq. 5 of Zheng et al. 2025: a mean over replies of min(s A, clip(s) A), s the geometric mean of the tokens' ratios."""
    out = []
    for mine in _replies(rs):
        s, a = _mean(mine, lambda r: r.logp - r.old).exp(), mine[0].advantage[0]
        out.append(torch.minimum(s * a, s.clamp(1 - low, 1 + high) * a))
    return -torch.stack(out).sum() / len(out)


def cispo(rs: list[Row], high: float) -> Tensor:
    """Eq. 4 of MiniMax 2025: sg(min(ratio, 1 + high)) A logp."""
    ratio = lambda r: (r.logp - r.old).exp().detach().clamp(max=1 + high)
    return -_total([ratio(r) * r.advantage * r.logp * sampled(r) for r in rs]) / _tokens(rs)


def distil(rs: list[Row]) -> Tensor:
    """REINFORCE with the token's log teacher - log student as advantage; importance weights where the policy has moved."""
    return -_total([(r.ref - r.logp).detach() * (r.logp - r.old).exp() * sampled(r) for r in rs]) / _tokens(rs)


def likelihood(rs: list[Row]) -> Tensor:
    return -_total([r.logp * sampled(r) for r in rs]) / sum(float(sampled(r).sum()) for r in rs)


def _pairs(rs: list[Row]) -> list[tuple[list[Row], list[Row]]]:
    """Of each problem the replies of largest and smallest advantage, if they differ."""
    out = []
    for problem in sorted({r.problem for r in rs}):
        replies = [mine for mine in _replies(rs) if mine[0].problem == problem]
        worth = [float(mine[0].advantage[0]) for mine in replies]
        if max(worth) > min(worth):
            out.append((replies[worth.index(max(worth))], replies[worth.index(min(worth))]))
    return out


def dpo(rs: list[Row], beta: float) -> Tensor:
    """Eq. 7 of Rafailov et al. 2023."""
    gain = lambda mine: _total([r.logp - r.ref for r in mine])
    return -torch.stack([torch.sigmoid(beta * (gain(w) - gain(x))).log() for w, x in _pairs(rs)]).mean()


def orpo(rs: list[Row], scale: float) -> Tensor:
    """Eq. 6 and 7 of Hong et al. 2024, the likelihood as a mean over the better replies' tokens."""
    found = _pairs(rs)
    p = lambda mine: (_total([r.logp for r in mine]) / _tokens(mine)).exp()
    odds = lambda mine: p(mine) / (1 - p(mine))
    better = [r for w, _ in found for r in w]
    ratio = torch.stack([torch.sigmoid((odds(w) / odds(x)).log()).log() for w, x in found]).mean()
    return -_total([r.logp for r in better]) / _tokens(better) - scale * ratio
