"""The lines of a street's plan as a map would hold them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from faithfusion.street.road_lines import painted_ranges, read_street_config, road_lines
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.street_plan import S_START, Marking, plan_street
from faithfusion.utils.errors import InputError


def test_lines_end_at_gaps_that_may_overlap() -> None:
    line = Marking(0.0, 0.1, gaps=((30.0, 40.0), (10.0, 20.0), (15.0, 25.0), (98.0, 200.0)))
    assert painted_ranges(line, 100.0) == [(S_START, 10.0), (25.0, 30.0), (40.0, 98.0)]
    assert painted_ranges(Marking(0.0, 0.1), 100.0) == [(S_START, 100.0)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_plans_lines_are_markings_kerbs_and_crossings(seed: int) -> None:
    plan = plan_street(StreetConfig(seed=seed))
    line = plan.centreline
    kinds = {"marking": 0, "kerb": 0, "crossing": 0}
    for points in road_lines(plan):
        off = points[:, None, :2] - line.points
        nearest = np.linalg.norm(off, axis=-1).argmin(1)
        heading = line.headings[nearest]
        towards = off[np.arange(len(points)), nearest]
        lateral = -np.sin(heading) * towards[:, 0] + np.cos(heading) * towards[:, 1]
        if np.ptp(lateral) > 1:
            kinds["crossing"] += 1
            assert min(abs(line.s[nearest].mean() - s) for crossing in plan.crossings for s in crossing) < 0.3
        elif min(abs(lateral.mean() - side.sign * side.kerb_m) for side in plan.sides) < 0.1:
            kinds["kerb"] += 1
        else:
            kinds["marking"] += 1
            assert min(abs(lateral.mean() - marking.lateral_m) for marking in plan.markings) < 0.1
    assert kinds["crossing"] == 2 * len(plan.crossings)
    assert kinds["kerb"] == sum(len(side.side_streets) + 1 for side in plan.sides)
    assert kinds["marking"] >= len(plan.markings)


def test_the_configuration_is_read_back(tmp_path: Path) -> None:
    config = StreetConfig(seed=5, num_frames=3, num_workers=1)
    plain = dataclasses.asdict(config) | {"hfov_deg": 68.0}
    del plain["num_cyclists"]
    (tmp_path / "street.json").write_text(json.dumps({"generator_version": 1, "config": plain}))
    assert read_street_config(tmp_path) == config
    with pytest.raises(InputError, match=r"street.json: no such file"):
        read_street_config(tmp_path / "nowhere")
