"""Every file in configs/ and ds_configs/ is one that its program accepts; a mistyped key is refused."""

import json
import re
from pathlib import Path

import pytest

from faithfusion.config import parse_config
from faithfusion.evaluate.ablation.config import AblationConfig, settings_of
from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.evaluate.benchmark.drives import read_drives
from faithfusion.evaluate.benchmark_config import EigBenchmarkConfig
from faithfusion.fit.fit_config import FitConfig
from faithfusion.pairs.config import PairsConfig
from faithfusion.pipeline.config import RefineConfig
from faithfusion.training.config import TrainConfig
from faithfusion.utils.errors import InputError
from faithfusion.video.editors.registry import options_of
from faithfusion.video.model.config import GeneratorConfig

ROOT = Path(__file__).resolve().parents[1]
CLASSES = {
    "scene": FitConfig,
    "scene/variants": FitConfig,
    "generator": GeneratorConfig,
    "refine": RefineConfig,
    "train_video": TrainConfig,
    "evaluate": EigBenchmarkConfig,
    "pairs": PairsConfig,
}
FILES = [
    path
    for name in CLASSES
    for path in sorted((ROOT / "configs" / name).glob("*.yaml"))
    if not path.stem.endswith("_drives")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_config_is_accepted(path: Path) -> None:
    config_class = CLASSES[path.parent.relative_to(ROOT / "configs").as_posix()]
    by_name = {"ablation": AblationConfig, "benchmark": BenchmarkConfig, "waymo": BenchmarkConfig}
    if path.parent.name == "evaluate":
        config_class = by_name.get(re.match("[a-z]*", path.name)[0], config_class)
    config = parse_config(config_class, ["--config", str(path)])
    assert isinstance(config, config_class)
    if config_class is RefineConfig:
        assert all(options_of(entry) for entry in config.editors)


def test_the_stereo_drive_is_fitted_the_same_everywhere() -> None:
    def read(config_class: type, name: str) -> object:
        return parse_config(config_class, ["--config", str(ROOT / "configs" / name)])

    fit = read(FitConfig, "scene/kitti.yaml")
    assert read(EigBenchmarkConfig, "evaluate/bench_eig.yaml").stereo_fit == fit


def test_the_ablation_is_developed_as_it_is_run() -> None:
    files = [ROOT / "configs" / "evaluate" / f"{name}.yaml" for name in ("ablation", "ablation_dev")]
    table, development = (parse_config(AblationConfig, ["--config", str(path)]) for path in files)
    assert settings_of(table, {}) == settings_of(development, {})
    assert not set(table.seeds) & set(development.seeds) and table.out != development.out


@pytest.mark.parametrize("name", ["waymo_shift", "benchmark_small", "benchmark_streets"])
def test_the_lists_of_drives_can_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = parse_config(BenchmarkConfig, ["--config", f"configs/evaluate/{name}.yaml"])
    drives = read_drives(config)
    assert len({drive.name for drive in drives}) == len(drives)
    for method in config.methods:
        assert all(options_of(entry) for entry in config.editors_of(method))
    if name == "waymo_shift":
        assert len(drives) == 8 and {drive.group for drive in drives} == {"waymo"}
        assert config.shifts_m == (3.0, 6.0) and {drive.refine.num_frames for drive in drives} == {40}


@pytest.mark.parametrize("config_class", [FitConfig, RefineConfig, AblationConfig])
def test_unknown_key_is_refused(config_class: type, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("stepz: 3\n")
    with pytest.raises(InputError, match="stepz"):
        parse_config(config_class, ["--config", str(path)])


@pytest.mark.parametrize("path", sorted((ROOT / "ds_configs").glob("*.json")), ids=lambda path: path.name)
def test_ds_config_is_json(path: Path) -> None:
    assert "zero_optimization" in json.loads(path.read_text())
