"""Registers what of a generator is trained on the module that an engine wraps. The rest is frozen, outside of it."""

from __future__ import annotations

from torch import nn

from faithfusion.training.method_config import Trainable
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import lora_names, lora_tree


def register_trained(owner: nn.Module, generator: Generator, trainable: Trainable) -> None:
    """Makes the trained parts of `generator` submodules of `owner`, under the generator's own parameter names.

    "branch": the branch, and low-rank updates of the backbone where it has them; "all": branch, backbone and prompt
    embedding. All other weights of the generator want no gradient from now on.
    """
    generator.requires_grad_(False)
    owner.branch = generator.branch.requires_grad_(True)
    if trainable == "all":
        owner.backbone = generator.backbone.requires_grad_(True)
        owner.prompt = generator.prompt.requires_grad_(True)
    elif lora_names(generator.backbone):
        owner.backbone = lora_tree(generator.backbone).requires_grad_(True)
