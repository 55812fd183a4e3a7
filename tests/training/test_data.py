from pathlib import Path

import pytest
import torch
from tiny_training import fixed_generator, write_pairs

from faithfusion.training.data import ClipDataset, Pick, Sampler, cropped_latents, training_windows, validation_windows
from faithfusion.training.run_config import DataConfig
from faithfusion.utils.errors import InputError


def test_an_epoch_takes_every_window_once_over_all_processes() -> None:
    sampler = Sampler(12, 2, seed=3, flip=True)
    taken = [pick.item for step in range(3) for rank in range(2) for pick in sampler.picks(step, rank, 2)]
    assert sorted(taken) == list(range(12))
    second = [pick.item for step in range(3, 6) for rank in range(2) for pick in sampler.picks(step, rank, 2)]
    assert sorted(second) == list(range(12)) and second != taken


def test_picks_depend_on_seed_and_step_only() -> None:
    sampler = Sampler(7, 3, seed=1, flip=True)
    later = sampler.picks(40, 0, 1)
    assert Sampler(7, 3, seed=1, flip=True).picks(40, 0, 1) == later, "no state to restore"
    picks = [pick for step in range(20) for pick in sampler.picks(step, 0, 1)]
    assert 10 < sum(pick.flip for pick in picks) < 50
    assert not any(pick.flip for step in range(20) for pick in Sampler(7, 3, seed=1, flip=False).picks(step, 0, 1))


def test_held_out_shards_are_the_last_ones(tmp_path: Path) -> None:
    config = DataConfig(train=str(write_pairs(tmp_path, 3)), held_out_shards=1)
    assert [ref.shard.path.stem for ref in training_windows(config)] == ["street_0"] * 2 + ["street_1"] * 2
    assert [ref.shard.path.stem for ref in validation_windows(config)] == ["street_2"] * 2
    assert validation_windows(DataConfig(train=str(tmp_path))) == []
    with pytest.raises(InputError, match="held_out_shards"):
        training_windows(DataConfig(train=str(tmp_path), held_out_shards=3))


def test_a_folder_for_validation_leaves_all_shards_to_train_on(tmp_path: Path) -> None:
    train, validation = write_pairs(tmp_path / "a", 2), write_pairs(tmp_path / "b", 1)
    config = DataConfig(train=str(train), validation=str(validation), held_out_shards=1)
    assert len(training_windows(config)) == 4 and len(validation_windows(config)) == 2


def test_clip_crops_are_parts_of_truth_or_render(tmp_path: Path) -> None:
    windows = training_windows(DataConfig(train=str(write_pairs(tmp_path, 1))))
    dataset = ClipDataset(windows, num_frames=5, height=16, width=24)
    video = dataset.batch([Pick(0, False), Pick(0, True), Pick(1, False)], fixed_generator()).video
    assert video.shape == (3, 3, 5, 16, 24)
    for crop, item, flip in zip(video, (0, 0, 1), (False, True, False), strict=True):
        seen = crop.flip(-1) if flip else crop
        window = windows[item].read()
        sources = [2.0 * clip.permute(3, 0, 1, 2) - 1.0 for clip in (window.render, window.truth)]
        places = [
            torch.allclose(source[:, :, y : y + 16, x : x + 24], seen, atol=1e-6)
            for source in sources
            for y in range(17)
            for x in range(25)
        ]
        assert sum(places) == 1


def test_clips_smaller_than_the_crop_are_taken_whole(tmp_path: Path) -> None:
    windows = training_windows(DataConfig(train=str(write_pairs(tmp_path, 1))))
    dataset = ClipDataset(windows, num_frames=9, height=64, width=64)
    assert dataset.batch([Pick(0, False)], fixed_generator()).video.shape == (1, 3, 5, 32, 48)


def test_latent_crops_cut_all_tensors_at_the_same_tokens() -> None:
    phi = torch.arange(2 * 6 * 8.0).reshape(2, 6, 8)
    cells = phi.repeat_interleave(2, -2).repeat_interleave(2, -1)
    row = {"truth_latent": cells[None], "eig_block": -cells[None], "phi": phi, "references.token_rays": phi[None]}
    row["references.latent"] = torch.rand(1, 8, 4, 6)
    random = fixed_generator()
    corners = set()
    for _ in range(30):
        part = cropped_latents(row, (4, 0), random)
        assert part["phi"].shape == (2, 4, 8) and part["truth_latent"].shape == (1, 2, 8, 16)
        expected = part["phi"].repeat_interleave(2, -2).repeat_interleave(2, -1)[None]
        assert torch.equal(part["truth_latent"], expected) and torch.equal(part["eig_block"], -expected)
        assert torch.equal(part["references.token_rays"][0], part["phi"])
        assert torch.equal(part["references.latent"], row["references.latent"]), "references stay whole"
        corners.add(float(part["phi"][0, 0, 0]))
    assert corners == {0.0, 8.0, 16.0}
