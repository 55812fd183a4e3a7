from __future__ import annotations

import dataclasses

import pytest
import torch
from reference.neighbours import attend, place_in_neighbour
from tiny_fixer import moving_window, poses_ahead, street_depth, tiny_fixer
from tiny_training import fixed_generator

from faithfusion.training.widen import can_widen, widen
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import FixerEditorConfig
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.fixer.fixer_file import fixer_path, load_fixer, save_fixer
from faithfusion.video.model.fixers.fixer import Fixer, fixer_inputs
from faithfusion.video.model.fixers.neighbours import NeighbourAttention, aligned

FOUR_LEVELS = (8, 8, 16, 16)


def clip_fixer(*, trained: bool = True, **changes: object) -> Fixer:
    """Frames see each other; with `trained` the attention is not zero either."""
    fixer = tiny_fixer(trained=trained, channels=FOUR_LEVELS, **({"reach": 2} | changes))
    if trained and fixer.config.reach:
        random = fixed_generator(1)
        with torch.no_grad():
            for attention in fixer.network.neighbours.values():
                attention.to_out.weight.copy_(0.5 * torch.randn(attention.to_out.weight.shape, generator=random))
    return fixer


@pytest.mark.parametrize("cell", [1, 4])
def test_alignment_is_the_projection_of_every_place(cell: int) -> None:
    height, width, offsets = 16, 24, (-2, -1, 1, 2)
    depth, poses = street_depth(6, height, width), poses_ahead(6, width, height)
    found = aligned(depth, poses, 3, offsets, cell)  # two clips of three frames
    shown = 0
    for frame in range(6):
        for number, offset in enumerate(offsets):
            other = frame + offset
            if other // 3 != frame // 3 or other < 0:
                assert not found.is_shown[frame, number].any()
                continue
            assert found.frame[frame, number] == other
            for row in range(height // cell):
                for column in range(width // cell):
                    x, y, is_shown = place_in_neighbour(depth, poses, frame, other, cell, row, column)
                    assert bool(found.is_shown[frame, number, row, column]) == is_shown, (frame, other, row, column)
                    if is_shown:
                        at = (found.grid[frame, number, row, column] + 1.0) / 2.0 * torch.tensor([width, height])
                        torch.testing.assert_close(at, torch.tensor([x, y]), atol=2e-3, rtol=1e-4)
                        shown += 1
    assert shown > 0.3 * found.is_shown.numel() / 2


def test_attention_is_its_sum_over_sources_with_its_gradient() -> None:
    random = fixed_generator()
    height, width, cell, offsets = 3, 4, 4, (-1, 1)
    depth, poses = street_depth(3, height * cell, width * cell), poses_ahead(3, width * cell, height * cell)
    alignment = aligned(depth, poses, 3, offsets, cell)
    module = NeighbourAttention(16, 2).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    places = {}
    for frame in range(3):
        for y in range(height):
            for x in range(width):
                at = (alignment.grid[frame, :, y, x].double() + 1.0) / 2.0 * torch.tensor([width, height])
                places[frame, y, x] = [
                    (int(alignment.frame[frame, n]), *at[n].tolist(), bool(alignment.is_shown[frame, n, y, x]))
                    for n in range(2)
                ]
    features = torch.randn(3, 16, height, width, generator=random, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 16, height, width, generator=random, dtype=torch.float64)
    alignment = dataclasses.replace(alignment, grid=alignment.grid.double())
    results = [module(features, alignment), attend(module, features, places)]
    torch.testing.assert_close(*results, atol=1e-6, rtol=1e-6)
    wanted = [features, *module.parameters()]
    gradients = [torch.autograd.grad((result * weight).sum(), wanted) for result in results]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_before_training_a_clip_is_fixed_as_its_frames_are() -> None:
    inputs, fixer = fixer_inputs(moving_window()), clip_fixer(trained=False)
    with torch.no_grad():
        fixer.network.conv_out.weight.normal_(0.0, 0.3, generator=fixed_generator())
    alone = dataclasses.replace(inputs, num_frames=1)
    torch.testing.assert_close(fixer(inputs), fixer(alone), atol=1e-5, rtol=1e-5)


def test_frames_see_those_within_reach_of_their_own_clip_only() -> None:
    fixer, inputs = clip_fixer(), fixer_inputs(moving_window(6))
    two_clips = dataclasses.replace(inputs, num_frames=3)
    before = fixer(two_clips)
    other = inputs.render.clone()
    other[3] = 1.0 - other[3]  # the first frame of the second clip
    changed = (fixer(dataclasses.replace(two_clips, render=other)) - before).abs().flatten(1).amax(1) > 1e-5
    assert changed.tolist() == [False, False, False, True, True, True]
    unknown = dataclasses.replace(two_clips, poses=None)
    assert not torch.allclose(fixer(unknown), before), "without cameras frames are on their own"


def test_a_long_clip_is_edited_in_parts_that_see_their_neighbours() -> None:
    window, fixer = moving_window(9), clip_fixer()
    editors = [FixerEditor(fixer, FixerEditorConfig(frames_at_once=n), ErrorProfile()) for n in (9, 3)]
    whole, parts = (editor.generate(window) for editor in editors)
    alone = FixerEditor(fixer, FixerEditorConfig(frames_at_once=9), ErrorProfile())
    single = alone.generate(dataclasses.replace(window, cameras=()))
    assert (parts - whole).abs().mean() < 0.3 * (single - whole).abs().mean()
    window.known[4] = True
    assert torch.equal(editors[1].generate(window)[4], window.render[4])


def test_a_wider_fixer_starts_where_the_narrow_one_ended(tmp_path) -> None:
    narrow = tiny_fixer(trained=True, channels=FOUR_LEVELS, num_views=2)
    wide = tiny_fixer(7, channels=FOUR_LEVELS, num_views=4, reach=2)
    assert can_widen(narrow.config, wide.config) and not can_widen(wide.config, narrow.config)
    assert not can_widen(narrow.config, dataclasses.replace(wide.config, channels=(8, 8, 16, 24)))
    widen(narrow, wide)
    inputs = fixer_inputs(moving_window())
    views, trust = inputs.views.repeat(1, 2, 1, 1, 1), inputs.trust.repeat(1, 2, 1, 1)
    trust[:, 2:] = 0.0
    found = wide(dataclasses.replace(inputs, views=views, trust=trust))
    torch.testing.assert_close(found, narrow(inputs), atol=1e-5, rtol=1e-5)
    trust[:, 2:] = 1.0
    assert not torch.allclose(wide(dataclasses.replace(inputs, views=views, trust=trust)), found)


def test_a_video_fixer_is_stored_and_read(tmp_path) -> None:
    fixer = clip_fixer()
    save_fixer(tmp_path / "video.safetensors", fixer, ErrorProfile(), {}, dtype="float32")
    read, _, _ = load_fixer(tmp_path / "video.safetensors")
    inputs = fixer_inputs(moving_window())
    assert read.config == fixer.config and torch.equal(read(inputs), fixer(inputs))


def test_the_shipped_fixer_is_read_as_one_of_single_frames() -> None:
    fixer, _, _ = load_fixer(fixer_path("fixer-tiny"))
    assert fixer.config.reach == 0 and "neighbours" not in dict(fixer.network.named_children())


@pytest.mark.parametrize("changes", [{"reach": -1}, {"reach": 2, "channels": (8, 16)}])
def test_what_cannot_see_neighbours_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        tiny_fixer(**changes)
