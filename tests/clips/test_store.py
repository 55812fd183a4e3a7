from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_generator import tiny_window

from faithfusion.clips.clip_config import ColorFormat
from faithfusion.clips.store import Cut, CutSequence, ShardFolder, read_shard, write_shard
from faithfusion.clips.video_file import VideoWriter, count_frames
from faithfusion.clips.windows import Span, slice_window
from faithfusion.types import Camera, Window
from faithfusion.utils.errors import InputError


def assert_same(found: Window, expected: Window) -> None:
    for name in ("render", "references", "truth"):
        if getattr(expected, name) is None:
            assert getattr(found, name) is None
        else:
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=0.5 / 255 + 1e-6, rtol=0)
    for name in ("eig_nats", "expected_sq_error", "alpha"):
        torch.testing.assert_close(getattr(found.eig, name), getattr(expected.eig, name), atol=1e-7, rtol=1e-3)
    torch.testing.assert_close(found.depth, expected.depth, rtol=1e-3, atol=0)
    assert torch.equal(found.known, expected.known)
    assert (found.warped is None) == (expected.warped is None)
    if expected.warped is not None:
        for name in ("colors", "trust"):
            pair = (getattr(found.warped, name), getattr(expected.warped, name))
            torch.testing.assert_close(*pair, atol=0.5 / 255 + 1e-6, rtol=0)
    assert found.time_indices == expected.time_indices
    for name in ("cameras", "reference_cameras"):
        for one, other in zip(getattr(found, name), getattr(expected, name), strict=True):
            assert torch.equal(one.intrinsics, other.intrinsics) and (one.width, one.height) == (48, 32)
            assert torch.equal(one.world_from_camera, other.world_from_camera)


def random_cameras(count: int) -> tuple[Camera, ...]:
    return tuple(Camera(torch.rand(3, 3), torch.rand(4, 4), 48, 32) for _ in range(count))


def posed_sequence(frames: int, references: int) -> Window:
    """Frames, references and poses that differ from each other."""
    window = tiny_window(frames, 32, 48)
    depth = torch.arange(1.0, frames + 1)[:, None, None].expand_as(window.depth)
    return dataclasses.replace(
        window,
        depth=depth,
        references=torch.rand(references, 32, 48, 3),
        cameras=random_cameras(frames),
        time_indices=tuple(range(3, 3 + frames)),
        reference_cameras=random_cameras(references),
    )


def rewrite(path: Path, *, header: dict[str, object] | None = None, **tensors: torch.Tensor) -> None:
    """Changes parts of a shard's safetensors file; `__` in a name is a slash."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    metadata |= {key: json.dumps(value) for key, value in (header or {}).items()}
    changed = load_file(path) | {name.replace("__", "/").removeprefix("/"): value for name, value in tensors.items()}
    save_file(changed, path, metadata=metadata)


def test_windows_come_back_within_their_storage_precision(tmp_path: Path) -> None:
    windows = [tiny_window(seed=0), dataclasses.replace(tiny_window(9, 16, 16, seed=1), truth=None)]
    windows[0].known[1] = True
    path = tmp_path / "shard.safetensors"
    write_shard(path, windows, {"street": 3, "pair": "lane shift"})
    shard = read_shard(path)
    assert len(shard) == 2 and shard.provenance == {"street": 3, "pair": "lane shift"}
    assert [shard.size(i) for i in range(2)] == [(5, 32, 48), (9, 16, 16)]
    assert [shard.has_truth(i) for i in range(2)] == [True, False]
    for i, window in enumerate(windows):
        assert_same(shard[i], window)
    with pytest.raises(IndexError):
        shard[2]
    with pytest.raises(InputError, match="window 1 has no true clip"):
        shard.colors(1, "truth", (slice(None),) * 3)


def test_colours_are_stored_exactly_and_read_by_region(tmp_path: Path) -> None:
    sequence = tiny_window(21, 32, 48)
    path = tmp_path / "shard.safetensors"
    write_shard(path, [tiny_window(5, 32, 48, seed=1), sequence])
    shard = read_shard(path)
    stored = {name: (getattr(sequence, name) * 255 + 0.5).to(torch.uint8) for name in ("render", "truth")}
    for start in range(21):
        for stop in range(start + 1, 22, 4):
            region = (slice(start, stop), slice(3, 20), slice(40, None))
            for name, expected in stored.items():
                assert torch.equal(shard.colors(1, name, region), expected[region])
    with pytest.raises(InputError, match="consecutive"):
        shard.colors(1, "render", (slice(0, 8, 2), slice(None), slice(None)))


def test_overlapping_windows_share_frames_and_have_their_own_references(tmp_path: Path) -> None:
    sequences = [posed_sequence(13, 4), posed_sequence(9, 2)]
    cuts = [Cut(Span(0, 9), (2, 0)), Cut(Span(4, 13), (3, 3))]
    path = tmp_path / "shard.safetensors"
    write_shard(path, iter([CutSequence(sequences[0], tuple(cuts)), sequences[1]]))
    shard = read_shard(path)
    assert len(shard) == 3
    for index, cut in enumerate(cuts):
        chosen = list(cut.references)
        cameras = tuple(sequences[0].reference_cameras[index] for index in chosen)
        references = sequences[0].references[chosen]
        expected = dataclasses.replace(sequences[0], references=references, reference_cameras=cameras)
        assert_same(shard[index], slice_window(expected, cut.span))
    assert_same(shard[2], sequences[1])
    for name in ("render", "truth"):
        assert count_frames(tmp_path / f"shard_{name}_48x32.mp4") == 13 + 9


def test_a_folder_is_one_index_over_its_shards(tmp_path: Path) -> None:
    write_shard(tmp_path / "b.safetensors", [tiny_window(seed=2)])
    write_shard(tmp_path / "a.safetensors", [tiny_window(seed=0), tiny_window(seed=1)])
    folder = ShardFolder(tmp_path)
    assert len(folder) == 3
    for seed in range(3):
        assert_same(folder[seed], tiny_window(seed=seed))


def test_missing_corrupt_and_foreign_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        ShardFolder(tmp_path / "absent")
    with pytest.raises(InputError, match="no shards"):
        ShardFolder(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_shard(tmp_path / "absent.safetensors")
    path = tmp_path / "shard.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="faithfusion.windows"):
        read_shard(path)
    header = {"format": "faithfusion.windows", "version": "1", "num_windows": "1", "provenance": "{}"}
    save_file({"0/render": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(InputError, match="version 1; expected faithfusion.windows, version 2"):
        read_shard(path)
    write_shard(path, [tiny_window()])
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(InputError, match="cannot be read"):
        ShardFolder(tmp_path)
    path.write_bytes(whole.replace(b'"provenance"', b'"provenancX"'))
    with pytest.raises(InputError, match="header cannot be read"):
        read_shard(path)


def test_a_shard_without_one_of_its_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shard.safetensors"
    write_shard(path, [tiny_window()])
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({key: value for key, value in load_file(path).items() if key != "0/alpha"}, path, metadata=metadata)
    with pytest.raises(InputError, match="lacks 0/alpha"):
        read_shard(path)


def test_a_missing_or_cut_off_mp4_is_named_when_the_shard_is_opened(tmp_path: Path) -> None:
    path, video = tmp_path / "shard.safetensors", tmp_path / "shard_truth_48x32.mp4"
    write_shard(path, [tiny_window()])
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"{video.name}: {len(whole) // 2} bytes; expected {len(whole)} .*5 frames"):
        ShardFolder(tmp_path)
    video.unlink()
    with pytest.raises(InputError, match=rf"{video.name}: no such file"):
        ShardFolder(tmp_path)


@pytest.mark.usefixtures("unchecked")
def test_mask_and_clip_of_different_length_are_refused(tmp_path: Path) -> None:
    path, window = tmp_path / "shard.safetensors", tiny_window(9)
    short = dataclasses.replace(window, eig=dataclasses.replace(window.eig, eig_nats=window.eig.eig_nats[:5]))
    with pytest.raises(InputError, match="eig_nats of 5x32x48; expected 9x32x48"):
        write_shard(path, [short])
    with pytest.raises(InputError, match="truth of 8x32x48; expected 9x32x48"):
        write_shard(path, [dataclasses.replace(window, truth=window.truth[:8])])
    assert list(tmp_path.iterdir()) == []
    write_shard(path, [window])
    rewrite(path, __0__expected_sq_error=torch.zeros(13, 32, 48, dtype=torch.float16))
    with pytest.raises(InputError, match="sequence 0: expected_sq_error of 13x32x48; expected 9x32x48"):
        ShardFolder(tmp_path)


def test_an_mp4_shorter_than_the_header_says_is_refused(tmp_path: Path) -> None:
    path, video = tmp_path / "shard.safetensors", tmp_path / "shard_render_48x32.mp4"
    write_shard(path, [tiny_window(9)])
    writer = VideoWriter(video, 32, 48, ColorFormat())
    writer.write(torch.zeros(5, 32, 48, 3, dtype=torch.uint8))
    writer.close()
    header = json.loads(read_shard_metadata(path)["videos"])
    header[0]["num_bytes"] = video.stat().st_size
    rewrite(path, header={"videos": header})
    with pytest.raises(InputError, match=rf"{video.name}: 5 frames; expected at least 9"):
        read_shard(path)[0]
    header[0]["num_frames"] = 5
    rewrite(path, header={"videos": header})
    with pytest.raises(InputError, match="sequence 0 in frames 0 to 8"):
        read_shard(path)


def read_shard_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_a_failed_write_leaves_nothing_and_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "shard.safetensors"
    with pytest.raises(TypeError):
        write_shard(path, [tiny_window()], {"bad": object()})
    assert list(tmp_path.iterdir()) == []
    write_shard(path, [tiny_window(seed=3)])
    with pytest.raises(TypeError):
        write_shard(path, [tiny_window(seed=4)], {"bad": object()})
    assert_same(read_shard(path)[0], tiny_window(seed=3))
    assert len(list(tmp_path.iterdir())) == 3
    write_shard(path, [tiny_window(seed=4)])
    assert_same(read_shard(path)[0], tiny_window(seed=4))


def test_warped_views_lie_in_videos_of_their_own(tmp_path: Path) -> None:
    windows = [tiny_window(9, seed=1, warped=2), tiny_window(5, seed=2), tiny_window(5, seed=3, warped=1)]
    cuts = (Cut(Span(0, 5)), Cut(Span(4, 9)))
    write_shard(tmp_path / "a.safetensors", [CutSequence(windows[0], cuts), *windows[1:]])
    shard = read_shard(tmp_path / "a.safetensors")
    assert {entry.file.split("_")[1] for entry in shard.header.videos} == {"render", "truth", "warped0", "warped1"}
    assert_same(shard[1], slice_window(windows[0], Span(4, 9)))
    assert_same(shard[2], windows[1])
    assert_same(shard[3], windows[2])
    with pytest.raises(InputError, match="window 3 has no clip warped1"):
        shard.colors(3, "warped1", (slice(None),) * 3)
    (tmp_path / "a_warped1_48x32.mp4").unlink()
    with pytest.raises(InputError, match="a_warped1_48x32.mp4"):
        read_shard(tmp_path / "a.safetensors")
