from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_wan_weights as tiny
import torch
from safetensors.torch import load_file, save_file
from tiny_wan_weights import VAE, WAN, named, same, written

from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import WanConfig
from faithfusion.video.weights.pretrained import load_backbone, load_vae, open_source
from faithfusion.video.weights.weight_files import WeightFiles, read_shapes, read_tensors


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A VACE model with VAE in diffusers' layout."""
    written("vace", "diffusers", tmp_path / "model")
    written("vae", "diffusers", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("with_index", [True, False])
def test_a_missing_shard_is_named(with_index: bool, tmp_path: Path) -> None:
    files = written("dit", "official", tmp_path, "60KB")
    assert len(files) >= 3
    files[1].unlink()
    if not with_index:
        (tmp_path / "diffusion_pytorch_model.safetensors.index.json").unlink()
    for source in (tmp_path, files[0]):
        with pytest.raises(InputError, match=f"1 of {len(files)} shards missing .{files[1].name}") as error:
            load_backbone(str(source), WAN, tiny.CHANNELS)
        assert "\n" not in str(error.value)


def test_broken_and_foreign_files_are_refused(tmp_path: Path) -> None:
    files = written("dit", "official", tmp_path / "a")
    files[0].write_bytes(files[0].read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        load_backbone(str(files[0]), WAN, tiny.CHANNELS)
    for source, words in [
        ("", "no source"),
        (str(tmp_path / "absent"), "no such file"),
        ("absent.pth", "no such file"),
    ]:
        with pytest.raises(InputError, match=words):
            open_source(source, "vae")
    (tmp_path / "model.gguf").touch()
    with pytest.raises(InputError, match="a .gguf file"):
        open_source(str(tmp_path / "model.gguf"), "transformer")
    torch.save({"step": 3, "model": named("dit")}, tmp_path / "checkpoint.pth")
    with pytest.raises(InputError, match="more than named tensors"):
        load_backbone(str(tmp_path / "checkpoint.pth"), WAN, tiny.CHANNELS)


def test_tensors_are_mapped_as_the_library_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "mixed.safetensors"
    state = {"a": torch.randn(3, 5), "b": torch.randn(7).bfloat16(), "c": torch.tensor(2.0), "d": torch.zeros(0, 4)}
    save_file(state | {"e": torch.arange(9, dtype=torch.uint8), "f": torch.randn(2).to(torch.float8_e4m3fn)}, path)
    before, expected = path.read_bytes(), load_file(path)
    found = read_tensors(WeightFiles("", "vae", (path,), {}), {name: name for name in expected}, None)
    assert all(torch.equal(found[name], expected[name]) and found[name].dtype is expected[name].dtype for name in found)
    found["a"] += 1.0
    assert path.read_bytes() == before
    header_end = before.index(b"}}") + 2
    for broken in (
        b"",
        before[:7],
        before[: header_end - 9],
        before[:-1],
        b"\xff" * 100,
        before.replace(b"[3,5]", b"[5,5]"),
    ):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="mixed.safetensors: cannot be read") as error:
            read_shapes(WeightFiles("", "vae", (path,), {}))
        assert "\n" not in str(error.value)


class Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("harm",)


def test_no_code_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="cannot be read"):
        load_vae(str(tmp_path / "bad.pth"), VAE)
    assert not Path("harm").exists()


def test_old_pickles_without_a_zip_archive_are_read(tmp_path: Path) -> None:
    torch.save(tiny.official("dit"), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(load_backbone(str(tmp_path / "old.pth"), WAN, tiny.CHANNELS), named("dit"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a Linux process")
@pytest.mark.parametrize(
    ("dtype", "suffix", "share"),
    [(None, ".safetensors", 0.1), (None, ".pth", 0.1), (torch.bfloat16, ".safetensors", 0.6)],
)
def test_memory_is_that_of_the_result(dtype: torch.dtype | None, suffix: str, share: float, tmp_path: Path) -> None:
    """Files are mapped: their own precision takes no memory of the process, half of it half the file."""
    state = tiny.official("dit") | {"text_embedding.0.weight": torch.ones(tiny.DIM, 1_000_000)}
    if suffix == ".pth":
        torch.save(state, tmp_path / "wide.pth")
    else:
        save_file(state, tmp_path / "wide.safetensors")
    del state
    config = WanConfig(tiny.LAYERS, tiny.HEADS, tiny.HEAD_DIM, tiny.FFN, 1_000_000, tiny.FREQ)
    before = anonymous_bytes()
    loaded = load_backbone(str(tmp_path / f"wide{suffix}"), config, tiny.CHANNELS, dtype)
    used = anonymous_bytes() - before
    assert loaded["condition_embedder.text_embedder.linear_1.weight"][-1, -1] == 1.0
    assert used < share * 96e6


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def in_hub_cache(model: Path, cache: Path, name: str) -> None:
    """The folder as huggingface_hub keeps a snapshot of it."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    model.rename(repository / "snapshots" / ("0" * 40))


def ask_hub(sources: list[str], cache: Path, **environment: str) -> list[str]:
    """What `open_source` says to each, in a process of its own: the hub's client reads its environment at import."""
    code = """
import sys
from faithfusion.video.weights.weight_files import InputError, open_source
for source in sys.argv[1:]:
    try:
        print(*open_source(source, "vae").files)
    except InputError as error:
        print("error:", error)
"""
    variables = os.environ | {"HF_HUB_CACHE": str(cache)} | environment
    command = [sys.executable, "-c", code, *sources]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=120, check=True
    ).stdout.splitlines()


def test_hub_ids(saved: Path, tmp_path: Path) -> None:
    in_hub_cache(saved, tmp_path / "cache", "someone/wan")
    known, at_revision, *errors = ask_hub(
        ["someone/wan", "someone/wan@main", "someone/wan@other", "someone/else"], tmp_path / "cache", HF_HUB_OFFLINE="1"
    )
    assert known == at_revision and known.endswith("vae/diffusion_pytorch_model.safetensors")
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    cached, *more = ask_hub(["someone/wan", "someone/else"], tmp_path / "cache", **unreachable)
    assert cached == known and len(errors) == 2 and len(more) == 1
    for line in (*errors, *more):
        assert line.startswith("error: someone/") and "the hub cannot be reached" in line
