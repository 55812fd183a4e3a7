"""A list of shards beside them: what is missing is found when training starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_generator import tiny_window

from faithfusion.clips.manifest import ListedShard, read_manifest, write_manifest
from faithfusion.clips.store import ShardFolder, write_shard
from faithfusion.utils.errors import InputError


def test_a_missing_shard_is_named_with_its_number(tmp_path: Path) -> None:
    listed = []
    for name in ("a", "b", "c"):
        path = tmp_path / f"{name}.safetensors"
        write_shard(path, [tiny_window()])
        listed.append(ListedShard(path.name, path.stat().st_size, 1))
    listed.append(ListedShard("d.safetensors", skipped="sees too little"))
    write_manifest(tmp_path / "pairs_1.json", listed)
    assert read_manifest(tmp_path / "pairs_1.json") == listed
    assert len(ShardFolder(tmp_path)) == 3
    write_shard(tmp_path / "e.safetensors", [tiny_window()])
    assert len(ShardFolder(tmp_path)) == 4  # on no list

    whole = (tmp_path / "b.safetensors").read_bytes()
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"b.safetensors: shard 2 of 4 in pairs_1.json is missing"):
        ShardFolder(tmp_path)
    (tmp_path / "b.safetensors").write_bytes(whole + b"x")
    with pytest.raises(InputError, match=rf"shard 2 of 4 has {len(whole) + 1} bytes; expected {len(whole)} bytes"):
        ShardFolder(tmp_path)


def test_a_shard_that_is_not_made_yet_is_missing(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.safetensors", [tiny_window()])
    size = (tmp_path / "a.safetensors").stat().st_size
    write_manifest(tmp_path / "pairs_1.json", [ListedShard("a.safetensors", size, 1), ListedShard("b.safetensors")])
    with pytest.raises(InputError, match="shard 2 of 2 .*run make_pairs again, or delete pairs_1.json"):
        ShardFolder(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "other", "version": 1}', '{"shards": [{}]}'])
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    write_shard(tmp_path / "a.safetensors", [tiny_window()])
    (tmp_path / "pairs_1.json").write_text(text)
    with pytest.raises(InputError, match="pairs_1.json: cannot be read"):
        ShardFolder(tmp_path)
