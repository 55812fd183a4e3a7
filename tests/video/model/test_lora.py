from __future__ import annotations

import copy

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.model.config import LoraConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import add_lora, lora_names, lora_tree

RANK_3 = LoraConfig(rank=3, alpha=6.0)


@torch.no_grad()
def velocity(generator: Generator) -> Tensor:
    conditions = latent_conditions(generator, [tiny_window()])
    noise = torch.randn(conditions.render_latent.shape, generator=torch.Generator().manual_seed(1))
    return generator.velocity(noise, torch.tensor([0.7]), conditions)


def with_lora(*, trained: bool, config: LoraConfig = RANK_3) -> Generator:
    generator = tiny_generator(trained=True)
    add_lora(generator.backbone, config)
    if trained:
        with torch.no_grad():
            for name, parameter in generator.backbone.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape))
    return generator


def test_nothing_changes_before_the_first_step() -> None:
    assert torch.equal(velocity(with_lora(trained=False)), velocity(tiny_generator(trained=True)))


def test_rank_zero_adds_nothing() -> None:
    generator = tiny_generator()
    names = [name for name, _ in generator.named_parameters()]
    add_lora(generator.backbone, LoraConfig())
    assert [name for name, _ in generator.named_parameters()] == names and not lora_names(generator)


def test_a_layer_is_its_formula() -> None:
    layer, x = nn.Sequential(nn.Linear(5, 4)), torch.randn(7, 5)
    plain = layer[0]
    add_lora(layer, LoraConfig(rank=2, alpha=3.0, targets=("0",)))
    a, b = (dict(layer.named_parameters())[f"0.lora_{mark}.default.weight"] for mark in "AB")
    nn.init.normal_(b)
    rows = [plain.weight @ row + plain.bias + (3.0 / 2) * (b @ (a @ row)) for row in x]
    torch.testing.assert_close(layer(x), torch.stack(rows))


def test_alpha_of_zero_is_a_scale_of_one() -> None:
    outputs = []
    for alpha in (0.0, 3.0):
        torch.manual_seed(0)
        outputs.append(velocity(with_lora(trained=True, config=LoraConfig(rank=3, alpha=alpha))))
    assert torch.equal(*outputs)


def test_only_attention_of_the_backbone_is_updated_and_gradients_stay_as_wanted() -> None:
    generator = tiny_generator().requires_grad_(False)
    generator.branch.requires_grad_(True)
    wanted = {name for name, parameter in generator.named_parameters() if parameter.requires_grad}
    add_lora(generator.backbone, RANK_3)
    names = lora_names(generator)
    assert len(names) == 3 * 2 * 4 * 2, "3 blocks, 2 attentions, 4 projections, A and B"
    assert all(name.startswith("backbone.blocks.") for name in names)
    now = {name for name, parameter in generator.named_parameters() if parameter.requires_grad}
    assert now == wanted | set(names)


def test_the_tree_holds_the_same_parameters_under_the_same_names() -> None:
    backbone = with_lora(trained=True).backbone
    tree, own = lora_tree(backbone), dict(backbone.named_parameters())
    assert [name for name, _ in tree.named_parameters()] == lora_names(backbone)
    assert all(parameter is own[name] for name, parameter in tree.named_parameters())
    assert not list(lora_tree(tiny_generator().backbone).parameters())


def test_training_the_tree_moves_the_generator_and_not_its_plain_weights() -> None:
    generator = with_lora(trained=True).requires_grad_(False)
    tree = lora_tree(generator.backbone).requires_grad_(True)
    plain = copy.deepcopy(generator.state_dict())
    conditions = latent_conditions(generator, [tiny_window()])
    noise = torch.randn_like(conditions.render_latent)
    generator.velocity(noise, torch.tensor([0.7]), conditions).square().mean().backward()
    torch.optim.SGD(tree.parameters(), lr=1.0).step()
    moved = {name for name, value in generator.state_dict().items() if not torch.equal(value, plain[name])}
    assert moved and moved <= set(lora_names(generator))


def test_targets_that_fit_no_layer_are_refused_in_one_line() -> None:
    for targets in (("to_x",), ("norm_q",)):
        with pytest.raises(InputError, match=r"lora\.targets") as caught:
            add_lora(tiny_generator().backbone, LoraConfig(rank=2, targets=targets))
        assert "\n" not in str(caught.value)
