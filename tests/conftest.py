"""Settings and fixtures that all tests share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.support import model_of
from thinkery.models.model import Model

# deterministic, so that a failure in one run is a failure in all; no deadline, since compiling is timed with the first example
settings.register_profile("thinkery", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thinkery")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Model:
    """One tiny random model that no test may change."""
    return model_of()


@pytest.fixture
def fresh() -> Model:
    """A tiny random model of one's own."""
    return model_of()
