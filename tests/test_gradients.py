"""Whoever works under torch.inference_mode or torch.no_grad gets the same as without, and may leave it again."""

from __future__ import annotations

import pytest
import torch
from small import tiny_classifier
from torch import nn

from stylex import Generator, StylEx
from stylex.attfind.effects import effect_table
from stylex.attfind.screening import promise
from stylex.attfind.selection import select_one_vs_rest
from stylex.classifiers.adopt import adopt
from stylex.classifiers.classifier import load_classifier, save_classifier, wrap
from stylex.classifiers.trial import tried
from stylex.explain import promise as promise_on

MODES = [torch.inference_mode, torch.no_grad]
STRATEGIES = ["independent", "subset", "list"]


def backward_through(classifier: nn.Module) -> None:
    x = torch.zeros(1, 3, 16, 16, requires_grad=True)
    classifier(x).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_picture_is_explained_in_any_mode(tiny_model, pictures, mode, strategy):
    picture = pictures / "spotted" / "spotted-0.png"
    expected = tiny_model.explain(picture, top_k=2, strategy=strategy)
    with mode():
        e = tiny_model.explain(picture, top_k=2, strategy=strategy)
    assert e.to_dict() == expected.to_dict()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_loaded_in_inference_mode_is_as_any_other(model_folder, tiny_model, pictures, strategy):
    with torch.inference_mode():
        model = StylEx.from_pretrained(model_folder)
    picture = pictures / "spotted" / "spotted-0.png"
    reloaded = StylEx.from_pretrained(model_folder)
    assert model.explain(picture, strategy=strategy).to_dict() == reloaded.explain(picture, strategy=strategy).to_dict()
    for module in model.modules():
        assert not any(t.is_inference() for t in [*module.parameters(), *module.buffers()])
    assert not model.stats.s_min.is_inference()


def test_what_was_made_in_inference_mode_may_be_used_outside(tiny_model, pictures):
    with torch.inference_mode():
        x = tiny_model.load_images([pictures / "spotted" / "spotted-0.png", pictures / "plain" / "plain-0.png"])
        s = tiny_model.styles(tiny_model.encode(x))
        space, stats = tiny_model.space, tiny_model.stats
        effect = effect_table(tiny_model.logits_of, s, stats, num_searched=space.num_conv)
        e = tiny_model.explain(pictures / "spotted" / "spotted-0.png")
    assert torch.equal(effect, effect_table(tiny_model.logits_of, s, stats, num_searched=space.num_conv))
    select_one_vs_rest(effect, tiny_model.logits_of(s).argmax(dim=1), 0, 3, explained=100.0)
    assert promise_on(tiny_model, e.s, 0).isfinite().all()

    def logits_of(s: torch.Tensor) -> torch.Tensor:
        return tiny_model.classifier(tiny_model.generator.synthesis(s, noise="const"))

    outside = promise(logits_of, s, stats, space.num_conv)
    with torch.inference_mode():
        inside = promise(logits_of, s, stats, space.num_conv)
    assert all(map(torch.equal, outside, inside))


@pytest.mark.parametrize("mode", MODES)
def test_networks_and_classifiers_made_in_any_mode_give_gradients(mode, model_folder, tmp_path, tiny_config):
    save_classifier(tiny_classifier(), tmp_path)
    with mode():
        made = [
            load_classifier(tmp_path),
            adopt(str(tmp_path)),
            wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)), ("a", "b"), 16),
            StylEx(tiny_config, tiny_classifier()).classifier,
        ]
        tried(made[2], "mine", "logits")
        generator = Generator.from_pretrained(model_folder / "generator")
        fresh = StylEx(tiny_config, tiny_classifier()).generator
    for classifier in made:
        backward_through(classifier)
    for network in (generator, fresh):
        s = torch.zeros(1, network.space.size, requires_grad=True)
        network.synthesis(s, noise="const").sum().backward()
        assert s.grad is not None
