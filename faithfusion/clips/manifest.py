"""Lists of the shards that a folder should hold: `pairs_*.json`, one per command that made some of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError

FORMAT = "faithfusion.pairs"
VERSION = 1


@dataclass(frozen=True)
class ListedShard:
    """A shard on a list.

    `num_bytes` is the size of its safetensors file, None until it is made; `skipped` says why there is no shard.
    """

    file: str
    num_bytes: int | None = None
    num_windows: int | None = None
    skipped: str = ""


def write_manifest(path: Path, shards: Sequence[ListedShard]) -> None:
    """Writes a list, whole or not at all."""
    plain = {"format": FORMAT, "version": VERSION, "shards": [asdict(shard) for shard in shards]}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=1))


def read_manifest(path: Path) -> list[ListedShard]:
    """Inverse of `write_manifest`. Raises InputError if it is damaged or something else."""
    try:
        plain = json.loads(path.read_text())
        if (plain["format"], plain["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {plain['format']}, version {plain['version']}")
        return [ListedShard(**entry) for entry in plain["shards"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", f"a list of shards ({FORMAT}, version {VERSION})") from None


def check_manifests(folder: Path) -> None:
    """Raises InputError if a shard on one of the folder's lists is missing or of another size. A folder without lists,
    and shards that are on none, are fine."""
    for path in sorted(folder.glob("pairs_*.json")):
        shards = read_manifest(path)
        for number, shard in enumerate(shards, 1):
            if shard.skipped:
                continue
            file = folder / Path(shard.file).name
            if shard.num_bytes is None or not file.is_file():
                expected = f"all shards on the list: run make_pairs again, or delete {path.name} to do without"
                raise InputError(file, f"shard {number} of {len(shards)} in {path.name} is missing", expected)
            if file.stat().st_size != shard.num_bytes:
                expected = f"{shard.num_bytes} bytes, as {path.name} says"
                raise InputError(file, f"shard {number} of {len(shards)} has {file.stat().st_size} bytes", expected)
