from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.chain import ChainEditor
from faithfusion.video.editing.editor import VideoEditor
from faithfusion.video.editing.editor_config import EditorConfig, EditorWeights, SamplerConfig
from faithfusion.video.editing.steady import SteadyEditor
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.open_editors import open_editor, open_editors

CONFIG = EditorConfig(window_frames=5, steady_frames=0, fixer_steady_frames=0)


def weights(use: str, **changes: str) -> EditorWeights:
    return EditorWeights(**{"use": use, "video": "wan-tiny", "fixer": "fixer-tiny", **changes})


@pytest.mark.parametrize(("use", "kind"), [("video", VideoEditor), ("fixer", FixerEditor), ("both", ChainEditor)])
def test_the_shipped_editors_repair_a_clip_that_its_views_show(use: str, kind: type) -> None:
    window = tiny_window(5, 32, 48, warped=2)
    window.render.copy_((window.truth + 0.2 * torch.randn_like(window.truth)).clamp(0, 1))
    window.eig.expected_sq_error.fill_(0.03)
    window.warped.colors.copy_(window.truth.expand_as(window.warped.colors))
    window.warped.trust.fill_(0.9)
    opened = open_editors(weights(use))
    assert (opened.generator is None, opened.fixer is None) == (use == "fixer", use == "video")
    editor = open_editor(opened, CONFIG, "cpu")
    assert isinstance(editor, kind)
    steady = open_editor(opened, dataclasses.replace(CONFIG, steady_frames=3, fixer_steady_frames=1), "cpu")
    parts = steady.editors if use == "both" else [steady]
    assert all(isinstance(part, SteadyEditor) for part in parts)
    assert [part.num_neighbours for part in parts] == {"video": [3], "fixer": [1], "both": [3, 1]}[use]
    edited = editor.edit(window)
    before, after = ((clip - window.truth).square().mean() for clip in (window.render, edited.frames))
    assert after < 0.97 * before  # colours are white noise, which the video model never saw
    torch.testing.assert_close(torch.lerp(window.render, edited.edit, edited.gain[..., None]), edited.frames)


def test_what_tells_weights_apart_and_what_is_refused() -> None:
    names = ("video", "fixer", "both")
    assert len({open_editors(weights(use)).identity for use in names}) == 3
    with pytest.raises(InputError, match="nowhere"):
        open_editors(weights("fixer", fixer="nowhere.safetensors"))
    assert open_editors(weights("video", fixer="nowhere.safetensors")).fixer is None
    opened = open_editors(weights("video"))
    opened.require_views(2)
    with pytest.raises(InputError, match="warp.num_views"):
        opened.require_views(1)
    opened.require_sampler(EditorConfig())
    with pytest.raises(InputError, match="negative prompt"):
        opened.require_sampler(EditorConfig(sampler=SamplerConfig(guidance=5.0)))
    open_editors(weights("fixer")).require_views(0)
