"""Every method's gradient is the same however its step is cut, ordered, shared and spread; a method that sees its company would learn something else
on a larger machine."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.learning.steps import ALONE, METHODS, Cut, Step, distance, gradient, rounding, steps, truth
from thinkery.lab import catalogue

ROUNDS = int(os.environ.get("THINKERY_FUZZ", "4"))  # more of them outside the suite

cuts = st.builds(
    Cut,
    shards=st.integers(1, 5),
    cells=st.one_of(st.integers(1, 120), st.just(10**6)),
    order=st.integers(0, 999),
    shard=st.integers(0, 999),
    shared=st.booleans(),
    plain=st.booleans(),
)


def heard(method: str) -> list[Step]:
    """The stages that learn something: some only sample, and their losses weigh no token."""
    return [s for s in steps(method) if truth(method, s.number, 0).any()]


def test_each_method_is_tried_or_its_reason_is_told() -> None:
    assert [name for name in METHODS if not hasattr(catalogue.load(name), "recipe")] == [], "tell the reason in UNTRAINED"
    assert [name for name in METHODS if steps(name)[-1] not in heard(name)] == [], "these learn nothing in the end"


@pytest.mark.parametrize("method", METHODS)
def test_blind_to_cut_order_sharing_and_kernels(method: str) -> None:
    @settings(max_examples=ROUNDS)
    @given(cut=cuts, epoch=st.integers(0, 1))
    def blind(cut: Cut, epoch: int) -> None:
        for step in steps(method):
            check(step, cut, epoch)

    blind()


def check(step: Step, cut: Cut, epoch: int) -> None:
    at = (step.method, step.number, epoch)
    assert distance(gradient(step, cut, epoch=epoch), truth(*at)) < 1e-12, str(step)
    assert distance(gradient(step, cut, torch.float32, epoch), truth(*at)) <= 3 * max(rounding(*at).values()), str(step)


def test_groups_that_interleave() -> None:
    """One tree for each group, as where nothing is compiled, whatever order the groups' rows stand in."""
    (step,) = steps("grpo")
    assert distance(gradient(step, Cut(cells=10**6, order=1, shared=True)), truth("grpo", 0, 0)) < 1e-12


def test_compiled_trees_round_no_worse_than_torchs_rows() -> None:
    """On the whole; of a single gradient luck decides."""
    tree, found = Cut(cells=10**6, shared=True, plain=False), []
    for step in (s for name in METHODS for s in heard(name)):
        at = (step.method, step.number, 1)
        found.append(np.log(distance(gradient(step, tree, torch.float32, 1), truth(*at)) / rounding(*at)[ALONE]))
    assert np.exp(np.mean(found)) < 1.5
