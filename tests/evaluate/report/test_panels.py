import numpy as np
import pytest
import torch

from faithfusion.evaluate.report.panels import (
    GAP,
    MIN_PANEL_HEIGHT,
    TEXT,
    color_table,
    colorize_eig,
    nice_ticks,
    side_by_side,
    with_color_bar,
)
from faithfusion.utils.errors import InputError


def test_the_colour_of_a_value_does_not_depend_on_the_clip() -> None:
    low, high = torch.full((1, 2, 2), 2.0), torch.full((1, 2, 2), 2.0)
    high[0, 0, 0] = 50.0
    assert torch.equal(colorize_eig(low, 10.0)[0, 1, 1], colorize_eig(high, 10.0)[0, 1, 1])
    ends = colorize_eig(torch.tensor([[[0.0, 10.0, 99.0, torch.nan]]]), 10.0)[0, 0].numpy()
    np.testing.assert_allclose(ends, color_table()[[0, -1, -1, -1]], atol=1e-6)


@pytest.mark.parametrize("top", [0.0, -1.0, float("nan"), float("inf")])
def test_a_useless_range_is_refused(top: float) -> None:
    with pytest.raises(InputError, match="max_nats"):
        colorize_eig(torch.zeros(1, 2, 2), top)


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    ticks = nice_ticks(0.013, 0.087)
    assert len(ticks) >= 3 and min(ticks) >= 0.013 and max(ticks) <= 0.087


def test_the_colour_bar_shows_the_scale_with_a_mark_at_each_tick() -> None:
    height, top_nats = 240, 9.0
    frames = with_color_bar(torch.zeros(2, height, 100, 3), top_nats)
    assert frames.shape[:2] == (2, height)
    bar = (frames[0, :, 100:] * 255).round().to(torch.uint8).numpy()
    table = (color_table() * 255).round().astype(np.uint8)
    size = height // 20
    left, high, low = size // 2, 2 * size, height - size
    assert np.abs(bar[high + 1, left + 1].astype(int) - table[-1]).max() < 12
    assert np.abs(bar[low - 2, left + 1].astype(int) - table[0]).max() < 12
    marks = np.flatnonzero((bar[high - 2 :, left + size + 1] == TEXT).all(-1)) + high - 2
    expected = [low - tick / top_nats * (low - high) for tick in reversed(nice_ticks(0.0, top_nats))]
    np.testing.assert_allclose(marks, expected, atol=1.0)


def test_small_frames_are_enlarged() -> None:
    assert with_color_bar(torch.zeros(1, 33, 55, 3), 1.0).shape[1] >= MIN_PANEL_HEIGHT


def panels(count: int, height: int = 241, width: int = 321) -> dict[str, torch.Tensor]:
    return {f"panel {i}": torch.full((2, height, width, 3), (i + 1) / 10) for i in range(count)}


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (6, 3, 2)])
def test_side_by_side_shapes_with_odd_sizes(count: int, columns: int, rows: int) -> None:
    sheet = side_by_side(panels(count), columns=columns)
    strip = 20
    assert sheet.shape == (2, rows * (241 + strip + GAP) + GAP, columns * (321 + GAP) + GAP, 3)
    for i in range(count):
        y, x = GAP + i // columns * (241 + strip + GAP) + strip, GAP + i % columns * (321 + GAP)
        assert torch.allclose(sheet[:, y : y + 241, x : x + 321], torch.tensor((i + 1) / 10), atol=1 / 255)


def test_rows_are_broken_towards_the_shape_of_a_screen() -> None:
    for count in (3, 4, 5, 6):
        _, height, width, _ = side_by_side(panels(count)).shape
        assert 0.7 < width / height < 3.0


def test_panels_of_different_width_keep_their_pixels() -> None:
    wide = {"a": torch.full((1, 240, 320, 3), 0.2), "b": torch.full((1, 240, 400, 3), 0.6)}
    sheet = side_by_side(wide, columns=2)
    assert sheet.shape[2] == 320 + 400 + 3 * GAP
    assert torch.allclose(sheet[0, -GAP - 1, -GAP - 400 : -GAP], torch.tensor(0.6), atol=1 / 255)


def test_labels_are_drawn() -> None:
    blank, labelled = (
        side_by_side({" ": torch.zeros(1, 240, 320, 3)}),
        side_by_side({"render": torch.zeros(1, 240, 320, 3)}),
    )
    assert blank.shape == labelled.shape
    assert not torch.equal(blank[:, :26], labelled[:, :26])
    assert torch.equal(blank[:, 26:], labelled[:, 26:])


def test_clips_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="frames per panel"):
        side_by_side({"a": torch.zeros(2, 240, 320, 3), "b": torch.zeros(3, 240, 320, 3)})
    with pytest.raises(InputError, match="at least one"):
        side_by_side({})
