"""Settings that make no sense are refused with one line that names them, before anything is read."""

from __future__ import annotations

import pytest

from faithfusion.training.method_config import (
    CodecMethodConfig,
    DistributionMatchingConfig,
    FixerMethodConfig,
    FlowConfig,
    PhiConfig,
)
from faithfusion.training.run_config import CheckpointConfig, DataConfig, EmaConfig, OptimizerConfig, ValidationConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import FixerEditorConfig, SamplerConfig, VideoEditorConfig
from faithfusion.video.model.config import BranchConfig, CodecConfig, LoraConfig
from faithfusion.video.model.fixers.fixer_config import FixerConfig, SdTurboConfig
from faithfusion.video.model.memory_config import MemoryConfig

REFUSED = {
    DistributionMatchingConfig: [
        *({"steps": 0}, {"critic_updates": 0}, {"critic_learning_rate": 0.0}, {"regression_weight": -1.0})
    ],
    FixerMethodConfig: [{"crop_height": 5}, {"phi_weight": -1.0}, {"render_mix": 1.5}, {"charbonnier": 0.0}],
    DataConfig: [{"micro_batch": 0}, {"held_out_shards": -1}],
    OptimizerConfig: [{"learning_rate": 0}, {"gradient_clipping": 0}, {"accumulation_steps": 0}],
    CodecMethodConfig: [{"crop_frames": 6}, {"crop_height": 60}, {"crop_width": 0}],
    PhiConfig: [{"ones": 0.6, "smooth": 0.5}, {"history": 1.5}],
    FlowConfig: [{"held_weight": -1.0}, {"phi_weight": -1.0}],
    EmaConfig: [{"decay": 1.0}, {"every_steps": 0}],
    ValidationConfig: [{"num_windows": 0}, {"sampler_steps": 0}],
    CheckpointConfig: [{"every_steps": 0}, {"keep_last": 0}],
    LoraConfig: [{"rank": -1}, {"alpha": -1.0}, {"targets": ()}],
    BranchConfig: [{"num_blocks": 0}, {"warped": -1}, {"mix_views": True}],
    CodecConfig: [{"name": "sharp"}],
    MemoryConfig: [{"offload_folder": "somewhere", "offload": "parts"}],
    SamplerConfig: [{"steps": 0}, {"temperature": -0.1}, {"temperature": 1.1}, {"sparse": True, "path": "hold"}],
    VideoEditorConfig: [{"window_frames": 4}, {"overlap_frames": 2}, {"overlap_frames": 17}],
    FixerConfig: [{"channels": ()}, {"channels": (8, 12)}, {"channels": (8, 8)}, {"unshuffle": 0}, {"num_views": -1}],
    SdTurboConfig: [{"timestep": -1}, {"num_references": -1}, {"lora": LoraConfig(rank=0), "trainable": "unet_lora"}],
    FixerEditorConfig: [{"frames_at_once": 0}],
}
CASES = [(config, wrong) for config, all_wrong in REFUSED.items() for wrong in all_wrong]


@pytest.mark.parametrize(("config", "wrong"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_it_is_refused(config: type, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong)).removesuffix("_folder")) as caught:
        config(**wrong)
    assert "\n" not in str(caught.value)
