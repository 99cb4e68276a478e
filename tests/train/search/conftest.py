"""A model without attributes, and a dozen pictures to search on."""

from __future__ import annotations

import copy

import pytest
from torch import Tensor

from stylex import StylEx
from train.data.pictures import load_pictures
from train.search.searched import balanced


@pytest.fixture(scope="session")
def x(pictures) -> Tensor:
    found = load_pictures(pictures, 16)
    return found.x[balanced(found.labels, 12, seed=0)]


@pytest.fixture(scope="session")
def model(tiny_model) -> StylEx:
    model = copy.copy(tiny_model)
    model.attributes = []
    return model
