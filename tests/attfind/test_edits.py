"""Single edits are the generator's own pictures, to the rounding of another order of sums."""

from __future__ import annotations

import copy

import pytest
import torch

from stylex.attfind.edits import SingleEdits, filled
from stylex.attfind.effects import effect_table
from stylex.networks.config import ModelConfig
from stylex.networks.generator import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    """Every width different, so that two mixed up do not fit; noise and biases that are not zero."""
    torch.manual_seed(0)
    generator = Generator(ModelConfig(16, 3, (3, 4, 5), (6, 7, 8), w_dim=9, z_dim=10, mapping_layers=2))
    for layer in generator.synthesis.layers:
        torch.nn.init.constant_(layer.noise_strength, 0.3)
        torch.nn.init.normal_(layer.bias)
    for rgb in generator.synthesis.to_rgb:
        torch.nn.init.normal_(rgb.bias)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def s(generator) -> torch.Tensor:
    return torch.randn(1, generator.space.size, generator=torch.Generator().manual_seed(1))


def one_by_one(generator, s, index, value):
    pictures = []
    for i, v in zip(index.tolist(), value.tolist(), strict=True):
        changed = s.clone()
        changed[0, i] = v
        pictures.append(generator.synthesis(changed))
    return torch.cat(pictures)


def test_every_coordinate_changed_equals_the_generator_with_that_coordinate_changed(generator, s):
    index = torch.arange(generator.space.num_conv)
    value = torch.randn(len(index), generator=torch.Generator().manual_seed(2)) * 3
    single = SingleEdits(generator.synthesis)
    edits = single(s)
    whole = one_by_one(generator, s, index, value)
    assert (whole - generator.synthesis(s)).abs().amax(dim=(1, 2, 3)).min() > 1e-3  # each of them does something
    for part in single.batches(index, 1000):
        torch.testing.assert_close(edits(index[part], value[part]), whole[part], rtol=1e-5, atol=1e-5)


def test_in_float64_only_the_last_digits_differ(generator, s):
    generator, s = copy.deepcopy(generator).double(), s.double()
    index = torch.arange(generator.space.num_conv)
    value = torch.linspace(-2, 2, len(index), dtype=torch.float64)
    single = SingleEdits(generator.synthesis)
    exact = one_by_one(generator, s, index, value)
    for part in single.batches(index, 1000):
        # `Synthesis` gives its pictures in fp32 and takes the demodulation in fp32 too.
        torch.testing.assert_close(single(s)(index[part], value[part]), exact[part], rtol=1e-6, atol=1e-6)


def test_an_edit_to_the_value_there_already_changes_nothing(generator, s):
    single = SingleEdits(generator.synthesis)
    for layer in generator.space.layers[:5]:
        index = torch.tensor([layer.start])
        torch.testing.assert_close(single(s)(index, s[0, index]), generator.synthesis(s), rtol=1e-5, atol=1e-5)


def test_batches_name_every_position_once_and_keep_layers_apart(generator):
    single = SingleEdits(generator.synthesis)
    index = torch.tensor([17, 0, 5, 16, 2, 1, 0, 9])
    parts = list(single.batches(index, 2))
    assert sorted(torch.cat(parts).tolist()) == list(range(8))
    assert all(len(part) <= 2 for part in parts)
    layers = [{generator.space.locate(i)[0] for i in index[part].tolist()} for part in parts]
    assert all(len(names) == 1 for names in layers)


def test_a_filled_batch_has_the_same_pictures_in_front(generator, s):
    single = SingleEdits(generator.synthesis)
    index, value = torch.arange(generator.space.num_conv), torch.linspace(-2, 2, generator.space.num_conv)
    for part in single.batches(index, 3):
        passed = filled(part, 3)
        assert len(passed) == 3
        found = single(s)(index[passed], value[passed])[: len(part)]
        torch.testing.assert_close(found, single(s)(index[part], value[part]), rtol=1e-5, atol=1e-5)


def test_on_a_gpu_generator_and_classifier_see_one_number_of_copies(tiny_model, monkeypatch):
    s = tiny_model.sample(torch.tensor([[0.9, 0.1]]))
    index = torch.arange(0, tiny_model.space.num_conv, 3)
    value = torch.linspace(-2, 2, len(index))
    expected, seen = tiny_model.edits_of(4, visible=True)(s)(index, value), set()
    logits = type(tiny_model).logits

    def counted(self, x):
        seen.add(len(x))
        return logits(self, x)

    monkeypatch.setattr(type(tiny_model), "logits", counted)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True))
    found = tiny_model.edits_of(4, visible=True)(s)(index, value)
    assert seen == {4}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 16, 1000])
def test_the_table_is_that_of_one_coordinate_at_a_time(tiny_model, batch_size):
    s = tiny_model.sample(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    searched = tiny_model.space.num_conv
    slow = effect_table(tiny_model.logits_of, s, tiny_model.stats, num_searched=searched, batch_size=1)
    fast = effect_table(
        tiny_model.logits_of, s, tiny_model.stats, num_searched=searched, edits_of=tiny_model.edits_of(batch_size)
    )
    assert slow.abs().max() > 0.5
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-4)


def test_the_candidates_may_come_in_any_order(tiny_model):
    s = tiny_model.sample(torch.tensor([[0.9, 0.1]]))
    candidates = torch.randperm(tiny_model.space.num_conv, generator=torch.Generator().manual_seed(0))[:20]
    slow = effect_table(tiny_model.logits_of, s, tiny_model.stats, candidates=candidates)
    fast = effect_table(
        tiny_model.logits_of, s, tiny_model.stats, candidates=candidates, edits_of=tiny_model.edits_of()
    )
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-4)


def test_edits_also_tell_how_much_of_the_picture_changed(tiny_model):
    from stylex.metrics import changed_share

    s = tiny_model.sample(torch.tensor([[0.9, 0.1]]))
    index = torch.tensor([3, 20, 30])
    value = tiny_model.stats.s_max[index]
    seen = tiny_model.edits_of(visible=True)(s)(index, value)
    assert seen.shape == (3, 3)
    moved = s.repeat(3, 1)
    moved[torch.arange(3), index] = value
    assert torch.equal(seen[:, 2], changed_share(tiny_model.synthesize(s), tiny_model.synthesize(moved)))
    torch.testing.assert_close(seen[:, :2], tiny_model.logits_of(moved), rtol=0, atol=1e-4)
