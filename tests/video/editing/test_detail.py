from __future__ import annotations

import math

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window

from faithfusion.video.editing.detail import (
    DETAIL_SOFTNESS,
    NO_DETAIL,
    DetailSource,
    detail_sources,
    local_mean,
    with_detail,
)
from faithfusion.video.editing.encode import latent_conditions, to_frames


def source(coded: float, detail: torch.Tensor, shown: float = 1.0) -> DetailSource:
    plain = torch.full_like(detail, coded)
    return DetailSource(plain + detail, plain, torch.full(detail.shape[:3], shown))


def test_detail_comes_from_the_source_that_the_edit_agrees_with() -> None:
    detail = 0.05 * torch.randn(2, 8, 9, 3)
    edit = torch.full_like(detail, 0.3)
    result = with_detail(edit, [source(0.9, torch.ones_like(detail)), source(0.3, detail)])
    torch.testing.assert_close(result, edit + detail)


def test_content_that_nobody_saw_gets_no_detail() -> None:
    detail = torch.ones(1, 8, 9, 3)
    edit = torch.full_like(detail, 0.3)
    result = with_detail(edit, [source(0.9, detail), source(0.3, detail, shown=0.0)])
    assert torch.equal(result, edit)


def test_shares_by_hand() -> None:
    detail = torch.full((1, 6, 6, 3), 0.1)
    result = with_detail(torch.full_like(detail, 0.5), [source(0.52, detail), source(0.54, -detail)])
    terms = [math.exp(-d / DETAIL_SOFTNESS) for d in (0.02, 0.04)]
    expected = 0.5 + (1.0 - (0.02 / NO_DETAIL) ** 2) * 0.1 * (terms[0] - terms[1]) / sum(terms)
    torch.testing.assert_close(result, torch.full_like(detail, expected))


def test_local_mean_against_loops() -> None:
    values = torch.rand(2, 7, 6)
    found = local_mean(values)
    for y, x in ((0, 0), (3, 2), (6, 5), (1, 4)):
        part = values[:, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        torch.testing.assert_close(found[:, y, x], part.mean((1, 2)))


@pytest.mark.parametrize("views", [0, 2])
@torch.no_grad()
def test_sources_are_what_the_branch_reads(views: int) -> None:
    generator, window = tiny_generator(branch__warped=views), tiny_window(warped=2)
    conditions = latent_conditions(generator, [window])
    sources = detail_sources(generator, window, conditions)
    assert len(sources) == 1 + views
    clips = [window.render, *window.warped.colors[:views]]
    for found, clip in zip(sources, clips, strict=True):
        assert torch.equal(found.frames, clip)
        video = 2.0 * clip[None].permute(0, 4, 1, 2, 3) - 1.0
        torch.testing.assert_close(found.coded, to_frames(generator.codec.decode(generator.codec.encode(video)))[0])
    unchanged = with_detail(sources[0].coded, sources[:1])
    torch.testing.assert_close(unchanged, window.render)
