"""What no search could answer is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from small import NAMES, search_options

from stylex.classifiers.classifier import wrap
from train.data.records import DataError
from train.search.in_memory import search
from train.search.searched import styles_of


def test_pictures_of_one_decision_alone_are_refused(model, x):
    labels = model.logits_of(styles_of(model, x, 64)).argmax(1)
    assert set(labels.tolist()) == {0, 1}
    with pytest.raises(DataError, match="every reconstruction is plain to the classifier: there is nothing to compare"):
        search(model, x[labels == 0], search_options())


def test_a_classifier_that_says_the_same_of_everything_is_named(model, x):
    constant = copy.copy(model)
    constant.classifier = wrap(lambda x: torch.zeros(len(x), 2) + torch.tensor([0.0, 1.0]), NAMES, 16)
    with pytest.raises(DataError, match=r"every reconstruction is spotted .* the classifier says the same of every"):
        search(constant, x, search_options())


def test_without_a_discriminator_there_is_no_veto(model, x):
    without = copy.copy(model)
    without.discriminator = None
    with pytest.raises(DataError, match="saved without its discriminator; use --discriminator 0"):
        search(without, x, search_options(discriminator=0.2))
