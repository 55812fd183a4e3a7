"""Low-rank updates of the frozen backbone (Hu et al. 2022, LoRA), by the library peft.

    y = W x + b + (alpha / rank) B A x ,   B = 0 at the start, so nothing changes before the first step

Only A and B are trained. They live inside the backbone's own layers, under names that hold `lora_A` and `lora_B`.
"""

from __future__ import annotations

from torch import nn

from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.video.model.config import LoraConfig

MARKS = ("lora_A", "lora_B")


def add_lora(module: nn.Module, config: LoraConfig) -> None:
    """Gives the layers of `module` named by `config.targets` an update of zero; nothing is done for rank 0.

    A is drawn from torch's global stream. Which parameters want gradients stays as it was; A and B do.
    Raises InputError where no layer has such a name or one is not linear, and without peft.
    """
    if config.rank == 0:
        return
    require_extra("video", "peft")
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    wants_gradient = {parameter: parameter.requires_grad for parameter in module.parameters()}
    peft_config = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha or config.rank,
        target_modules=list(config.targets),
        lora_dropout=0.0,
        bias="none",
    )
    try:
        inject_adapter_in_model(peft_config, module)
    except ValueError as error:
        found = " ".join(str(error).split())[:200]
        raise InputError(f"lora.targets {list(config.targets)}", found, "names of linear layers") from None
    for parameter, wanted in wants_gradient.items():  # peft freezes everything else
        parameter.requires_grad_(wanted)


def lora_names(module: nn.Module) -> list[str]:
    """Names of the parameters of `module` that belong to low-rank updates."""
    return [name for name, _ in module.named_parameters() if is_lora_name(name)]


def is_lora_name(name: str) -> bool:
    """Whether a parameter of this name belongs to a low-rank update."""
    return any(mark in name.split(".") for mark in MARKS)


def lora_tree(module: nn.Module) -> nn.Module:
    """The layers A and B of `module`, and nothing else of it, under the names that they have there.

    They are the same objects, so an optimiser or a DeepSpeed engine that is given the tree trains the module.
    """
    tree = nn.Module()
    for name, layer in module.named_modules():
        if name and is_lora_name(name) and any(True for _ in layer.parameters(recurse=False)):
            *parents, leaf = name.split(".")
            place = tree
            for parent in parents:
                if parent not in place._modules:
                    place.add_module(parent, nn.Module())
                place = place._modules[parent]
            place.add_module(leaf, layer)
    return tree
