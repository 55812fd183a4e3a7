from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window
from tiny_training import fixed_generator

from faithfusion.clips.store import read_shard, write_shard
from faithfusion.training.cache import encode_window, file_name, mirrored
from faithfusion.training.data import LatentDataset, Pick, WindowRef
from faithfusion.utils.errors import InputError
from faithfusion.video.model.conditioning import each_tensor
from faithfusion.video.model.reference_attention import pluecker_rays


def shard(folder: Path, **options: object) -> WindowRef:
    path = folder / "street_0.safetensors"
    write_shard(path, [tiny_window(**options)])
    return WindowRef(read_shard(path), 0)


def test_a_mirrored_window_is_seen_by_cameras_of_a_mirrored_world() -> None:
    window = tiny_window(frames=5, poses=True, warped=2)
    for t, camera in enumerate(window.cameras):
        camera.world_from_camera[0, 3], camera.intrinsics[0, 2] = t, 20.0
    twice = mirrored(mirrored(window))
    assert torch.equal(twice.warped.colors, window.warped.colors) and torch.equal(
        twice.warped.trust, window.warped.trust
    )
    assert torch.equal(mirrored(window).warped.trust[..., 0], window.warped.trust[..., -1])
    assert torch.equal(twice.render, window.render) and torch.equal(twice.references, window.references)
    torch.testing.assert_close(twice.poses.intrinsics, window.poses.intrinsics)
    torch.testing.assert_close(twice.poses.world_from_camera, window.poses.world_from_camera)
    rays = pluecker_rays(window.poses, window.poses.world_from_camera[0], 32, 48, 16)
    seen = mirrored(window).poses
    reflected = pluecker_rays(seen, seen.world_from_camera[0], 32, 48, 16).flip(3)
    # a direction loses its sign along x; a moment is an axial vector and keeps only that one
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0, -1.0]).reshape(6, 1, 1)
    torch.testing.assert_close(reflected, signs * rays, atol=1e-5, rtol=1e-5)
    assert (torch.linalg.det(seen.world_from_camera) - 1.0).abs().max() < 1e-5


def test_a_copy_of_a_shard_has_the_same_cache_and_another_content_another_one(tmp_path: Path) -> None:
    first, changed = (shard(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("c", 1)))
    path = shutil.copytree(tmp_path / "a", tmp_path / "b") / first.shard.path.name
    os.utime(path, (1.0, 1.0))
    copied = WindowRef(read_shard(path), 0)
    assert path.stat().st_size == changed.shard.path.stat().st_size
    assert file_name(first) == file_name(copied) != file_name(changed)


@torch.no_grad()
def test_everything_that_conditions_the_generator_is_cached_and_batched(tmp_path: Path) -> None:
    generator = tiny_generator(branch__init="vace", branch__references=True, branch__depth=True, branch__warped=2)
    ref = shard(tmp_path, poses=True, warped=2)
    tensors = encode_window(ref, generator)
    assert {name.split(".")[0] for name in tensors} == {"plain", "mirrored"}
    from safetensors.torch import save_file

    save_file(tensors, tmp_path / "cached.safetensors")
    dataset = LatentDataset([tmp_path / "cached.safetensors"], crop_tokens=(1, 2), whole_share=0.0)
    batch = dataset.batch([Pick(0, False), Pick(0, True)], fixed_generator())
    assert batch.truth_latent.shape == (2, 8, 2, 2, 4) and batch.conditions.vace.shape == (2, 80, 2, 2, 4)
    assert batch.conditions.references.latent.shape == (2, 1, 8, 4, 6)
    assert batch.conditions.references.token_rays.shape == (2, 6, 2, 1, 2)
    assert batch.conditions.warped.shape == (2, 20, 2, 2, 4)
    doubled = each_tensor(batch, lambda values: 2.0 * values)
    assert torch.equal(doubled.conditions.references.rays, 2.0 * batch.conditions.references.rays)
    velocity = generator.velocity(batch.truth_latent, torch.tensor([0.3, 0.8]), batch.conditions)
    assert velocity.shape == batch.truth_latent.shape and velocity.isfinite().all()


def test_windows_of_two_sizes_in_one_micro_batch_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    files = []
    for number, width in enumerate((48, 64)):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_file(encode_window(shard(folder, width=width), tiny_generator()), folder / "cached.safetensors")
        files.append(folder / "cached.safetensors")
    dataset = LatentDataset(files, crop_tokens=(0, 0), whole_share=0.0)
    with pytest.raises(InputError, match="one size"):
        dataset.batch([Pick(0, False), Pick(1, False)], fixed_generator())
