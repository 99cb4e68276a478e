"""Somebody's network behind our face: it computes what it computes at home, and its owner finds it as it was."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from small import NAMES
from torch import Tensor, nn

from stylex.classifiers.adopt import load_reference, save_reference, tried
from stylex.classifiers.classifier import Classifier, ClassifierError, build, wrap


class Views(nn.Module):
    """Reads its own memory: `view` where `flatten` would do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 16 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return self.head(x.view(x.size(0), -1))


def scripted(network: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(network)


def traced(network: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network.eval(), torch.rand(1, 3, 16, 16))


def function(network: nn.Module) -> Any:
    network.eval()
    return lambda x: network(x)


@pytest.fixture
def network() -> Views:
    torch.manual_seed(0)
    return Views()


PACKED = {
    "module": lambda network: network,
    "script": scripted,
    "trace": traced,
    "function": function,
    "parallel": nn.DataParallel,
    "part": lambda network: nn.Sequential(scripted(network), nn.Flatten()),
}


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("side", [16, 24])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_network_that_views_its_own_memory_answers_as_at_home(pack, side, layout, network):
    x = (torch.rand(3, 3, side, side) * 2 - 1).contiguous(memory_format=layout)
    expected = copy.deepcopy(network).eval()
    classifier = wrap(PACKED[pack](network), NAMES, 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    small = x if side == 16 else nn.functional.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(classifier(x), expected(small.contiguous()))
    tried(classifier, "mine", None)


def test_what_a_library_builds_keeps_its_memory_format_too():
    from stylex.classifiers.classifier import ClassifierConfig

    built = build(ClassifierConfig(NAMES, 32, "torchvision", "shufflenet_v2_x0_5"))
    assert all(p.is_contiguous() for p in built.network.parameters())


def state(network: nn.Module) -> list[Any]:
    """Everything of a network that somebody else could change."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    told = [(name, t.requires_grad, t.dtype, t.device, t.stride(), t.data_ptr()) for name, t in tensors]
    return [*told, *(t.detach().clone() for _, t in tensors), [m.training for m in network.modules()]]


def assert_unchanged(before: list[Any], after: list[Any]) -> None:
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("pack", ["module", "script", "parallel", "part"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_owner_finds_it_as_it_was(pack, dtype, network, tmp_path):
    mine = PACKED[pack](network).to(dtype)
    before = state(mine)
    classifier = tried(wrap(mine, NAMES, 16), "mine", None)
    classifier.to(torch.bfloat16)
    classifier.to(torch.float16)
    save_reference(wrap(PACKED[pack](copy.deepcopy(network)), NAMES, 16).float(), tmp_path)
    load_reference(tmp_path, mine).to(torch.bfloat16)
    load_reference(tmp_path, Classifier(mine, classifier.config)).to(torch.bfloat16)
    assert_unchanged(before, state(mine))


def test_what_its_owner_does_to_it_afterwards_changes_nothing_here(network):
    classifier, x = wrap(network, NAMES, 16), torch.rand(2, 3, 16, 16)
    before = classifier(x)
    network.train()(x)
    nn.init.zeros_(network.head.weight)
    assert torch.equal(classifier(x), before)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_networks_that_do_not_let_themselves_be_copied_are_copied_all_the_same(network):
    """Weights that were computed in the last pass (weight_norm), and those of torch.compile."""
    nn.utils.weight_norm(network.conv)
    x = torch.rand(2, 3, 16, 16)
    network(x)
    before = state(network)
    classifier = wrap(torch.compile(network), NAMES, 16)
    assert isinstance(classifier.network, Views)
    assert_unchanged(before, state(network))
    torch.testing.assert_close(
        classifier(x * 2 - 1), network.eval()((x - classifier.mean) / classifier.std), rtol=1e-4, atol=1e-4
    )


def test_one_that_cannot_be_copied_is_refused_with_the_way_out(network):
    import threading

    network.lock = threading.Lock()
    with pytest.raises(ClassifierError) as caught:
        wrap(network, NAMES, 16)
    assert str(caught.value) == (
        "this network cannot be copied (cannot pickle '_thread.lock' object), and the original is its owner's; wrap a "
        "function of it instead, such as lambda x: network(x), with the network in eval mode"
    )
    network.eval()
    assert wrap(lambda x: network(x), NAMES, 16)(torch.rand(1, 3, 16, 16)).shape == (1, 2)


# It answers for one picture what it answers for many.


class Squeezes(Views):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :1].squeeze()


@pytest.mark.parametrize("wake", [lambda n: n.train(), lambda n: n.norm.train()])
def test_a_function_whose_network_learns_from_its_neighbours_is_refused(network, wake):
    wake(network)
    with pytest.raises(ClassifierError) as caught:
        tried(wrap(lambda x: network(x), NAMES, 16), "mine:network", None)
    assert str(caught.value) == (
        "mine:network says another thing of a picture alone than beside others; put it into eval mode, and compute "
        "nothing over the batch"
    )


STATISTICS = {
    "the batch's own deviation": lambda network, x: network(x) / network(x).std(dim=0).clamp(min=0.1),
    "statistics that are never kept": lambda network, x: (
        nn.functional.instance_norm(network(x).T[None], use_input_stats=True)[0].T
    ),
    "softmax over the batch": lambda network, x: network(x).log_softmax(dim=0),
}


@pytest.mark.parametrize("kind", STATISTICS)
def test_whatever_is_computed_over_the_batch_is_refused(kind, network):
    network.eval()
    with pytest.raises(ClassifierError, match=r"mine (says another thing of a picture alone|cannot read one picture)"):
        tried(wrap(lambda x: STATISTICS[kind](network, x), NAMES, 16), "mine", None)


def test_an_order_that_matters_is_refused(network):
    network.eval()
    with pytest.raises(ClassifierError, match="mine says another thing of the same pictures in another order"):
        tried(
            wrap(
                lambda x: network(x) + (torch.arange(len(x))[:, None] * torch.tensor([1.0, -1.0]) if len(x) > 1 else 0),
                NAMES,
                16,
            ),
            "mine",
            None,
        )


def test_a_number_of_pictures_that_is_fixed_is_refused(network):
    network.eval()
    with pytest.raises(ClassifierError, match=r"mine cannot read one picture alone \(RuntimeError: .* any"):
        tried(wrap(lambda x: network(x.view(4, 3, 16, 16)), NAMES, 16), "mine", None)


def test_one_that_squeezes_answers_for_one_picture_too():
    torch.manual_seed(0)
    squeezes = tried(wrap(Squeezes(), NAMES, 16), "mine", None)
    x = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(torch.cat([squeezes(one) for one in x.split(1)]), squeezes(x))
    both = wrap(lambda x: x[:, :2, 0, 0].squeeze(), NAMES, 16)
    torch.testing.assert_close(both(x[:1]), both(x)[:1])


def test_a_network_that_computes_in_half_precision_is_steady_enough(network):
    network.eval().bfloat16()
    tried(wrap(lambda x: network(x.bfloat16()), NAMES, 16), "mine", None)
