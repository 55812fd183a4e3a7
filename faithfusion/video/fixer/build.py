"""A fixer of the configured kind."""

from __future__ import annotations

import torch

from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.fixers.fixer_config import FixerConfig
from faithfusion.video.model.fixers.pixels import PixelFixer


def build_fixer(config: FixerConfig, generator: torch.Generator, *, with_prompt: bool = True) -> Fixer:
    """A fixer with random weights, on its public ones if it has any; the same `generator` state gives the same.

    `with_prompt`: False leaves the prompt's embedding zero and the public text encoder alone, for a fixer whose own
    file holds it. Raises InputError for public weights that `open_sd_turbo` refuses.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # the library modules draw from the global stream
        torch.manual_seed(seed)
        if config.sd_turbo is None:
            return PixelFixer(config)
        from faithfusion.video.fixer.sd_turbo import SdTurboFixer
        from faithfusion.video.fixer.sd_turbo_weights import open_sd_turbo

        return SdTurboFixer(config, open_sd_turbo(config.sd_turbo, with_prompt=with_prompt))
