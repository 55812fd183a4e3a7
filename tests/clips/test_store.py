from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_generator import tiny_window

from faithfusion.clips.store import ShardFolder, read_shard, write_shard
from faithfusion.types import Window
from faithfusion.utils.errors import InputError


def assert_same(found: Window, expected: Window) -> None:
    torch.testing.assert_close(found.render, expected.render, atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(found.references, expected.references, atol=0.5 / 255 + 1e-6, rtol=0)
    for name in ("eig_nats", "expected_sq_error", "alpha"):
        torch.testing.assert_close(getattr(found.eig, name), getattr(expected.eig, name), atol=1e-7, rtol=1e-3)
    torch.testing.assert_close(found.depth, expected.depth, rtol=1e-3, atol=0)
    assert torch.equal(found.known, expected.known)
    if expected.truth is None:
        assert found.truth is None
    else:
        torch.testing.assert_close(found.truth, expected.truth, atol=0.5 / 255 + 1e-6, rtol=0)


def test_windows_come_back_within_their_storage_precision(tmp_path: Path) -> None:
    windows = [tiny_window(seed=0), dataclasses.replace(tiny_window(9, 16, 16, seed=1), truth=None)]
    windows[0].known[1] = True
    path = tmp_path / "shard.safetensors"
    write_shard(path, windows, {"street": 3, "pair": "lane shift"})
    shard = read_shard(path)
    assert len(shard) == 2 and shard.provenance == {"street": 3, "pair": "lane shift"}
    for i, window in enumerate(windows):
        assert_same(shard[i], window)
    with pytest.raises(IndexError):
        shard[2]


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
    write_shard(path, [tiny_window()])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot be read"):
        ShardFolder(tmp_path)


def test_a_shard_without_one_of_its_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shard.safetensors"
    header = {"format": "faithfusion.windows", "version": "1", "num_windows": "1", "provenance": "{}"}
    save_file({"0/render": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(InputError, match="0/alpha"):
        read_shard(path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_shard(tmp_path / "shard.safetensors", [tiny_window()], {"bad": object()})
    assert list(tmp_path.iterdir()) == []
