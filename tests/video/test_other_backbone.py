"""A backbone of other strides is one more description: it edits, trains and is stored like Wan2.1's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_generator import TINY, tiny_generator, tiny_window

from faithfusion.training.data import LatentBatch
from faithfusion.training.flow import FlowMethod
from faithfusion.training.method_config import FlowConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig, VideoEditorConfig
from faithfusion.video.editing.encode import latent_conditions, to_video
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.model.config import BranchConfig, CodecConfig, ScheduleConfig, WanVaeConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.spec import BackboneSpec
from faithfusion.video.weights.generator_file import load_generator, save_generator

SMALL_VAE = WanVaeConfig(8, (1, 1, 1, 1), 1)
KINDS = {
    "wan2.2": (CodecConfig("other_codecs:Wan22Vae", 12, wan=SMALL_VAE), 2, BackboneSpec(12, 2, 16, 4)),
    "pixels": (CodecConfig("other_codecs:PixelCodec", 96), 3, BackboneSpec(96, 3, 4, 2)),
}
DIT = BranchConfig(references=True, depth=True, warped=1, mix_views=True)
VACE = BranchConfig("vace", 3)


def generator_of(kind: str, branch: BranchConfig = DIT) -> Generator:
    codec, patch, _ = KINDS[kind]
    wan = dataclasses.replace(TINY.wan, patch=patch)
    path = ScheduleConfig(path="bridge")
    return tiny_generator(trained=True, codec=codec, wan=wan, branch=branch, schedule=path, attention="prefix")


@pytest.mark.parametrize("branch", [DIT, VACE], ids=["dit", "vace"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_edits_a_clip_of_any_size(kind: str, branch: BranchConfig) -> None:
    generator = generator_of(kind, branch)
    assert generator.config.spec == KINDS[kind][2]
    window = tiny_window(7, 50, 70, poses=True, warped=1)
    edits = [
        VideoEditor(generator, VideoEditorConfig(window_frames=5, sampler=sampler), ErrorProfile()).edit(window)
        for sampler in (SamplerConfig(steps=2), SamplerConfig(steps=2, sparse=True))
    ]
    assert edits[0].frames.shape == window.render.shape
    kept = edits[0].gain == 0.0
    assert 0.05 < kept.float().mean() < 0.95
    assert torch.equal(edits[0].frames[kept], window.render[kept])
    assert (edits[0].frames - window.render)[~kept].abs().mean() > 1e-3
    torch.testing.assert_close(edits[0].edit, edits[1].edit, atol=1e-4, rtol=1e-4)


def test_cells_and_chunks_are_those_of_the_description() -> None:
    """With a codec that loses nothing, every latent cell can be told from its pixels and frames."""
    generator, window = generator_of("pixels"), tiny_window(5, 36, 48, poses=True, warped=1)
    conditions = latent_conditions(generator, [window])
    assert conditions.phi.shape == (1, 3, 3, 4) and conditions.eig_block.shape == (1, 4 * 4 + 4, 3, 9, 12)
    decoded = generator.codec.decode(conditions.render_latent)
    torch.testing.assert_close(decoded, to_video(window.render[None]), atol=1e-6, rtol=0.0)
    changed = dataclasses.replace(window, eig=dataclasses.replace(window.eig, alpha=torch.zeros(5, 36, 48)))
    changed.eig.alpha[3:, 8:12, 20:24] = 1.0  # the last chunk, one cell
    coverage = latent_conditions(generator, [changed]).eig_block[0, -1]
    assert coverage[2, 2, 5] == 1.0 and coverage.sum() == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_and_its_file_is_read_back(kind: str, tmp_path: Path) -> None:
    generator = generator_of(kind)
    window = tiny_window(5, 96, 96, poses=True, warped=1)
    with torch.no_grad():
        conditions = latent_conditions(generator, [window])
        truth = generator.codec.encode(to_video(window.truth[None]))
    loss, _ = FlowMethod(FlowConfig(trainable="branch"), generator)(
        LatentBatch(truth, conditions), make_generator(0, "flow")
    )
    loss.backward()
    assert torch.isfinite(loss) and generator.branch.patch_embedding.weight.grad.abs().sum() > 0
    save_generator(tmp_path / "other.safetensors", generator, ErrorProfile(), {}, dtype="float32")
    again, _, _ = load_generator(tmp_path / "other.safetensors")
    assert again.config == generator.config
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in generator.state_dict().items())


def test_sizes_that_are_no_whole_tokens_are_refused() -> None:
    spec = BackboneSpec(48, 2, 16, 4)
    assert spec.latent_size(81, 480, 832) == (21, 30, 52) and spec.eig_channels == 260 and spec.vace_channels == 352
    for size, words in [((80, 480, 832), "frames: 80"), ((81, 472, 832), "height: 472"), ((81, 480, 0), "width: 0")]:
        with pytest.raises(InputError, match=words):
            spec.latent_size(*size)
    for name, words in (("other_codecs:Absent", "no such name"), ("pathlib:Path", "which is no codec")):
        with pytest.raises(InputError, match=f"codec.name: {name}.*{words}"):
            tiny_generator(codec=CodecConfig(name))
