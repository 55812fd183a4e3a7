"""Every file in configs/ and ds_configs/ is one that its program accepts; a mistyped key is refused."""

import json
from pathlib import Path

import pytest

from faithfusion.config import parse_config
from faithfusion.evaluate.ablation.config import AblationConfig, settings_of
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
FILES = [path for name in CLASSES for path in sorted((ROOT / "configs" / name).glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_config_is_accepted(path: Path) -> None:
    config_class = CLASSES[path.parent.relative_to(ROOT / "configs").as_posix()]
    config_class = AblationConfig if path.name.startswith("ablation") else config_class
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


@pytest.mark.parametrize("config_class", [FitConfig, RefineConfig, AblationConfig])
def test_unknown_key_is_refused(config_class: type, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("stepz: 3\n")
    with pytest.raises(InputError, match="stepz"):
        parse_config(config_class, ["--config", str(path)])


@pytest.mark.parametrize("path", sorted((ROOT / "ds_configs").glob("*.json")), ids=lambda path: path.name)
def test_ds_config_is_json(path: Path) -> None:
    assert "zero_optimization" in json.loads(path.read_text())
