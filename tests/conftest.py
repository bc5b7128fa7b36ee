"""Settings and fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.support import Sums, model_of
from thinkery.learning import losses, rewards
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.models.model import Model

# deterministic, so that a failure in one run is a failure in all; no deadline, since compiling is timed with the first example
settings.register_profile("thinkery", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thinkery")
torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """What a test printed, logged or failed with may hold half of a surrogate pair, which does not travel between processes."""
    report = yield
    report.sections = [(name, printable(text)) for name, text in report.sections]
    if report.longrepr is not None and printable(str(report.longrepr)) != str(report.longrepr):
        report.longrepr = printable(str(report.longrepr))
    return report


def printable(text: str) -> str:
    """The text as UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="session")
def tiny() -> Model:
    """One tiny random model that no test may change."""
    return model_of()


@pytest.fixture
def fresh() -> Model:
    """A tiny random model of one's own."""
    return model_of()


@pytest.fixture(scope="session")
def warm() -> Model:
    """A tiny model taught to add by 80 supervised steps: about a third right, so that most groups are mixed. No test may change it."""
    model = model_of(sharp=1.0)
    stage = Stage(
        name="sft",
        steps=80,
        problems=25,
        samples=1,
        source="demonstrations",
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        optimizer=Optimizer(lr=3e-3),
        shards=1,
    )
    learning = Learning(Recipe((stage,)), Setting(Sums()), model)
    while not learning.done:
        learning.step()
    return model
