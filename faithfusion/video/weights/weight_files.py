"""Public weights on disk: finds the files of one part of a model (Wan2.1, or of SD-Turbo's class) in a folder,
a file or a hub id, and reads from them.

Nothing is unpickled but tensors, and tensors are mapped from the files: memory is taken when their values are used.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.video.weights.weight_layouts import Shape

Part = Literal["transformer", "vae", "text_encoder", "unet", "image_vae", "clip_text"]
PLACES: dict[Part, tuple[tuple[str, str], ...]] = {  # folder, how the file's name begins; the first that is there
    "transformer": (("transformer", "diffusion_pytorch_model"), ("", "diffusion_pytorch_model")),
    "vae": (("vae", "diffusion_pytorch_model"), ("", "Wan2.1_VAE"), ("", "diffusion_pytorch_model")),
    "text_encoder": (("text_encoder", "model"), ("", "models_t5_umt5-xxl-enc-bf16"), ("", "model")),
    "unet": (("unet", "diffusion_pytorch_model"),),
    "image_vae": (("vae", "diffusion_pytorch_model"),),
    "clip_text": (("text_encoder", "model"),),
}
TOKENIZERS = ("tokenizer", "google/umt5-xxl")
HUB_PATTERNS: dict[Part, list[str]] = {
    "transformer": ["transformer/*", "diffusion_pytorch_model*", "config.json"],
    "vae": ["vae/*", "Wan2.1_VAE.*"],
    "unet": ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/*"],
    "image_vae": ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"],
    "clip_text": ["text_encoder/config.json", "text_encoder/model.safetensors", "tokenizer/*"],
    "text_encoder": ["text_encoder/*", "models_t5_umt5-xxl-enc-bf16.*", *(f"{name}/*" for name in TOKENIZERS)],
}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")
DTYPES = {  # names in safetensors headers
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}
SUFFIXES = (".safetensors", ".pth", ".pt")
WHAT = "a .safetensors or .pth file, a folder of public weights or a hub id (owner/name[@revision])"


@dataclass(frozen=True)
class WeightFiles:
    """The files of one part. `config`: the config.json beside them, {} without; `tokenizer`: folder of the tokenizer
    that belongs to a text encoder."""

    source: str
    part: Part
    files: tuple[Path, ...]
    config: dict[str, Any]
    tokenizer: Path | None = None

    @property
    def where(self) -> Path:
        """The place that errors name: the file, or the folder of the shards."""
        return self.files[0] if len(self.files) == 1 else self.files[0].parent


def open_source(source: str, part: Part) -> WeightFiles:
    """The files of one part of a local file, a local folder in any layout, or a hub id (only that part is fetched;
    what the hub's cache holds is used, and nothing else when HF_HUB_OFFLINE is set).

    Raises InputError for a source that does not exist or cannot be fetched, a folder without the part, or a missing
    shard.
    """
    if not source:
        raise InputError("weights", "no source", WHAT)
    path = Path(source).expanduser()
    if path.is_file():
        return _described(source, part, _whole(path), path.parent)
    if path.is_dir():
        return _in_folder(source, part, path)
    if not HUB_ID.fullmatch(source) or source.endswith(SUFFIXES) or Path(path.parts[0]).is_dir():
        raise InputError(source, "no such file or folder", WHAT)
    return _in_folder(source, part, _fetch(source, part))


def read_shapes(weights: WeightFiles) -> dict[str, Shape]:
    """Name -> shape of every tensor, from the files' headers.

    Raises InputError for a file that cannot be read or two files that hold the same tensor.
    """
    shapes: dict[str, Shape] = {}
    for path in weights.files:
        file = _open(path)
        for name in file.names():
            if name in shapes:
                raise InputError(path, f"{name} is in another file too", "every tensor once")
            shapes[name] = file.shape(name)
    return shapes


def read_tensors(weights: WeightFiles, names: Mapping[str, str], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors `names` (new name -> name in the files) on the CPU.

    With the files' own dtype (or `dtype` None) they stay mapped from the files; another dtype is converted tensor by
    tensor, so the memory needed is that of the result.
    """
    tensors: dict[str, Tensor] = {}
    for path in weights.files:
        file = _open(path)
        here = set(file.names())
        for name, original in names.items():
            if original in here:
                tensors[name] = file.tensor(original).to(dtype=dtype)
    return {name: tensors[name] for name in names}


class _Safetensors:
    """Maps every tensor by itself: a map of a whole file that is larger than the machine's memory is refused by Linux,
    even if little of it is read."""

    def __init__(self, path: Path) -> None:
        self._path, size = path, path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise ValueError("no safetensors header")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        self._begin, self._tensors = 8 + length, header
        for name, tensor in header.items():
            first, last = tensor["data_offsets"]
            if last - first != math.prod(tensor["shape"]) * DTYPES[tensor["dtype"]].itemsize or first < 0:
                raise ValueError(f"{name}: size and shape disagree")
            if self._begin + last > size:
                raise ValueError(f"{name}: the file ends before it")

    def names(self) -> list[str]:
        return list(self._tensors)

    def shape(self, name: str) -> Shape:
        return tuple(self._tensors[name]["shape"])

    def tensor(self, name: str) -> Tensor:
        """Mapped so that writing into it copies the page and leaves the file alone."""
        tensor = self._tensors[name]
        first, last = tensor["data_offsets"]
        if first == last:
            return torch.empty(tensor["shape"], dtype=DTYPES[tensor["dtype"]])
        raw = np.memmap(self._path, np.uint8, mode="c", offset=self._begin + first, shape=(last - first,))
        return torch.from_numpy(raw).view(DTYPES[tensor["dtype"]]).reshape(tensor["shape"])


class _Pickled:
    def __init__(self, state: dict[str, Tensor]) -> None:
        self._state = state

    def names(self) -> list[str]:
        return list(self._state)

    def shape(self, name: str) -> Shape:
        return tuple(self._state[name].shape)

    def tensor(self, name: str) -> Tensor:
        return self._state[name].detach()


def _open(path: Path) -> _Safetensors | _Pickled:
    """Opens one weights file, mapped. Raises InputError if it is broken or holds anything but named tensors."""
    try:
        if path.suffix == ".safetensors":
            return _Safetensors(path)
        # files from before torch 1.6 are no zip archives and cannot be mapped
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        found = " ".join(str(error).split())[:160]
        raise InputError(path, f"cannot be read ({found})", "an intact file of weights") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(path, "holds more than named tensors", "a plain state dict")
    return _Pickled(state)


def _in_folder(source: str, part: Part, folder: Path) -> WeightFiles:
    for subfolder, stem in PLACES[part]:
        place = folder / subfolder
        index = place / f"{stem}.safetensors.index.json"
        if index.is_file():
            return _described(source, part, _indexed(index), folder)
        named = sorted(path for path in place.glob(f"{stem}*") if path.suffix in SUFFIXES)
        plain = [path for path in named if path.stem == stem] or named
        if plain and (len(plain) == 1 or SHARD.fullmatch(plain[0].name)):
            return _described(source, part, _whole(plain[0]), folder)
        if len(plain) > 1 and len({path.stem for path in plain}) == 1:  # .safetensors beside .pth
            return _described(source, part, plain[-1:], folder)
        if plain:
            names = ", ".join(path.name for path in plain[:3])
            raise InputError(folder, f"several files ({names})", f"one {part}; name its file")
    wanted = " or ".join(str(Path(subfolder) / f"{stem}*") for subfolder, stem in PLACES[part])
    raise InputError(folder, f"no {part} weights", f"{wanted} in it")


def _described(source: str, part: Part, files: list[Path], folder: Path) -> WeightFiles:
    config_path = files[0].parent / "config.json"
    config: dict[str, Any] = {}
    if config_path.is_file():
        config = read_json(config_path)
    tokenizer = None
    if part == "text_encoder":
        roots = (folder, files[0].parent, files[0].parent.parent)
        places = (root / name for root in roots for name in TOKENIZERS)
        has_files = (place for place in places if (place / "tokenizer_config.json").is_file())
        tokenizer = next(has_files, None)
    return WeightFiles(source, part, tuple(files), config, tokenizer)


def _indexed(index: Path) -> list[Path]:
    """The shards named by an index file."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(index, "no weight_map", "the index of sharded weights")
    return _present(index.parent, sorted(set(weight_map.values())))


def _whole(path: Path) -> list[Path]:
    """The file itself, or all shards of the set that it belongs to."""
    if path.suffix not in SUFFIXES:
        raise InputError(path, f"a {path.suffix or 'nameless'} file", f"one of {', '.join(SUFFIXES)}")
    shard = SHARD.fullmatch(path.name)
    if not shard:
        return [path]
    stem, _, total, suffix = shard.groups()
    return _present(path.parent, [f"{stem}-{number + 1:05d}-of-{total}{suffix}" for number in range(int(total))])


def _present(folder: Path, names: list[str]) -> list[Path]:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(folder, f"{len(missing)} of {len(names)} shards missing ({missing[0]})", "all shards")
    return [folder / name for name in names]


def read_json(path: Path, what: str = "a JSON file") -> dict[str, Any]:
    """A JSON object. Raises InputError for anything else; `what` says there what was expected."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", what) from None
    if not isinstance(value, dict):
        raise InputError(path, f"a JSON {type(value).__name__}", f"{what} with a JSON object")
    return value


def _fetch(source: str, part: Part) -> Path:
    """The snapshot of a hub id with the files of one part."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    name, _, revision = source.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=HUB_PATTERNS[part]))
    except GatedRepoError:
        found = "on the hub, but access has to be asked for"
    except RepositoryNotFoundError:
        found = "no such file or folder here, and no such model on the hub"
    except LocalEntryNotFoundError:
        found = "no such file or folder here, not in the hub's cache, and the hub cannot be reached"
    except Exception as error:  # whatever breaks a download, the user needs one line about it
        found = f"cannot be fetched ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
    raise InputError(source, found, WHAT)
