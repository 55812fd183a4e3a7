"""Intervals and paired differences by hand, and the table of made-up streets, word for word."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from faithfusion.evaluate.ablation.config import (
    NO_REFINEMENT,
    AblationConfig,
    LoopConfig,
    Row,
    settings_of,
    without_eig,
)
from faithfusion.evaluate.ablation.intervals import Interval, mean_interval, overlap, paired_interval
from faithfusion.evaluate.ablation.pareto import front, gains
from faithfusion.evaluate.ablation.run import write_table
from faithfusion.evaluate.ablation.table import baselines_of, labels_of
from faithfusion.evaluate.result_files import claim, first_difference, require_same_settings
from faithfusion.utils.errors import InputError

BOTH = {"both": ({"kind": "wan"}, {"kind": "fixer"})}
T_3, T_1 = 3.182446305284263, 12.706204736432095  # 97.5 % of Student's t with 3 and 1 degrees of freedom, from a table


def test_interval_by_hand() -> None:
    values = [20.0, 22.0, 21.0, 25.0, math.nan]
    half = T_3 * np.std(values[:4], ddof=1) / 2.0
    interval = mean_interval(values)
    assert (interval.mean, interval.count) == (22.0, 4)
    assert (interval.low, interval.high) == pytest.approx((22.0 - half, 22.0 + half))
    assert interval.half == pytest.approx(half)
    assert mean_interval([3.0]).mean == 3.0 and math.isnan(mean_interval([3.0]).low)
    assert mean_interval([math.nan]).count == 0


def test_pairs_take_the_street_out() -> None:
    """Streets differ by 10 dB, the two rows by about 0.5 dB on every one of them."""
    base, gains = np.array([15.0, 25.0, 20.0, 18.0]), np.array([0.5, 0.6, 0.4, 0.5])
    difference = paired_interval((base + gains).tolist(), base.tolist())
    half = T_3 * gains.std(ddof=1) / 2.0
    assert (difference.mean, difference.low) == pytest.approx((0.5, 0.5 - half))
    assert difference.low > 0
    assert overlap(mean_interval((base + gains).tolist()), mean_interval(base.tolist())) is True
    relative = paired_interval([0.03, 0.08], [0.04, 0.10], relative=True)
    assert relative.mean == pytest.approx(-22.5)
    assert relative.half == pytest.approx(T_1 * np.std([-25.0, -20.0], ddof=1) / math.sqrt(2))
    assert paired_interval([1.0, math.nan], [0.5, 0.5]).count == 1


def test_overlap_is_of_intervals() -> None:
    assert overlap(Interval(1, 0, 2, 5), Interval(3, 2, 4, 5)) is True
    assert overlap(Interval(1, 0, 1.9, 5), Interval(3, 2, 4, 5)) is False
    assert overlap(Interval(3, 2, 4, 5), Interval(1, 0, 1.9, 5)) is False
    assert overlap(Interval(1, math.nan, math.nan, 1), Interval(3, 2, 4, 5)) is None


def test_rows_are_compared_with_no_refinement_and_the_other_weights_of_the_same_editors() -> None:
    rows = AblationConfig().rows
    assert len(rows) == 14 and rows[:2] == (NO_REFINEMENT, without_eig("fixer"))
    assert len(AblationConfig(blind="").rows) == 13 and len(AblationConfig(editors=BOTH).rows) == 5
    assert baselines_of(NO_REFINEMENT, rows) == [] and baselines_of(without_eig("fixer"), rows) == [NO_REFINEMENT]
    found = [row.key for row in baselines_of(Row("likelihood", "fixer"), rows)]
    assert found == ["none", "uniform/fixer_blind", "uniform/fixer", "released/fixer", "published_map/fixer"]
    found = [row.key for row in baselines_of(Row("likelihood", "both"), rows)]
    assert found == ["none", "uniform/both", "released/both", "published_map/both"]
    found = [row.key for row in baselines_of(Row("uniform", "video"), rows)]
    assert found == ["none", "released/video", "published_map/video"]
    other = Row("likelihood", "both", "600 steps")
    assert other.key == "likelihood/both/600 steps" and labels_of(other) == ("our EIG; 600 steps", "both")
    assert [row.key for row in baselines_of(other, (*rows, other))] == ["none", "likelihood/both"]
    assert [row.key for row in baselines_of(other, (NO_REFINEMENT, other))] == ["none"]
    loops = {"600 steps": LoopConfig(weights=("uniform", "likelihood"))}
    looped = AblationConfig(editors=BOTH, loops=loops).rows
    assert looped[-2:] == (Row("uniform", "both", "600 steps"), other)
    found = [row.key for row in baselines_of(other, looped)]
    assert found == ["none", "likelihood/both", "uniform/both/600 steps"]


SMALL = {"seeds": (0, 1), "shifts_m": (-3.0, 3.0), "weights": ("uniform", "likelihood"), "editors": BOTH}


def made_up_street(seed: int, settings: str = "abc") -> dict:
    """Scores that the seed moves; side -3 is 1 dB below the mean, side +3 as much above."""

    def shift(psnr_db: float, mae: float) -> dict:
        def side(sign: int) -> dict:
            return {"psnr_db": psnr_db + seed + sign, "regenerated_mae": mae, "ssim": None}

        return {"-3.00": side(-1), "+3.00": side(1)}

    lane = {"psnr_db": 30.0 - seed, "psnr_db all cameras": 29.0}
    none, video = shift(20.0, 0.08), shift(22.0, 0.05)
    rows = {
        "none": {"video": none, "scene": none, "lane": lane},
        "uniform/both": {"video": video, "scene": shift(20.5, 0.07), "lane": lane},
        "likelihood/both": {
            "video": video,
            "scene": shift(21.0 + 0.2 * seed, 0.06),
            "lane": lane | {"psnr_db": 29.9 - seed},
        },
    }
    return {"seed": seed, "settings": settings, "rows": rows, "seconds": {}}


TABLE = """\
## 3 m to the side, repaired video

| weights | editors | PSNR (dB) ↑ | Mean absolute error, regenerated region ↓ |
| --- | --- | ---: | ---: |
| no refinement |  | 20.50 ± 6.35 | 0.0800 ± 0.0000 |
| any | both | 22.50 ± 6.35 | 0.0500 ± 0.0000 |

Paired differences:

| weights | editors | against | PSNR (dB) | intervals | Mean absolute error, regenerated region (%) | intervals |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
| any | both | no refinement | +2.00 [+2.00, +2.00] | overlap | -37.5 [-37.5, -37.5] | apart |

## 3 m to the side, distilled scene

| weights | editors | PSNR (dB) ↑ | Mean absolute error, regenerated region ↓ |
| --- | --- | ---: | ---: |
| no refinement |  | 20.50 ± 6.35 | 0.0800 ± 0.0000 |
| uniform | both | 21.00 ± 6.35 | 0.0700 ± 0.0000 |
| our EIG | both | 21.60 ± 7.62 | 0.0600 ± 0.0000 |

Paired differences:

| weights | editors | against | PSNR (dB) | intervals | Mean absolute error, regenerated region (%) | intervals |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
| uniform | both | no refinement | +0.50 [+0.50, +0.50] | overlap | -12.5 [-12.5, -12.5] | apart |
| our EIG | both | no refinement | +1.10 [-0.17, +2.37] | overlap | -25.0 [-25.0, -25.0] | apart |
| our EIG | both | uniform | +0.60 [-0.67, +1.87] | overlap | -14.3 [-14.3, -14.3] | apart |

## Recorded lane, held-out frames

| weights | editors | PSNR (dB) ↑ | PSNR, all cameras (dB) ↑ |
| --- | --- | ---: | ---: |
| no refinement |  | 29.50 ± 6.35 | 29.00 ± 0.00 |
| uniform | both | 29.50 ± 6.35 | 29.00 ± 0.00 |
| our EIG | both | 29.40 ± 6.35 | 29.00 ± 0.00 |

Paired differences:

| weights | editors | against | PSNR (dB) | intervals | PSNR, all cameras (dB) | intervals |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
| uniform | both | no refinement | +0.00 [+0.00, +0.00] | overlap | +0.00 [+0.00, +0.00] | overlap |
| our EIG | both | no refinement | -0.10 [-0.10, -0.10] | overlap | +0.00 [+0.00, +0.00] | overlap |
| our EIG | both | uniform | -0.10 [-0.10, -0.10] | overlap | +0.00 [+0.00, +0.00] | overlap |
"""


def test_table_of_made_up_streets(tmp_path: Path) -> None:
    config = AblationConfig(out=str(tmp_path), **SMALL)
    for seed in config.seeds:
        (tmp_path / f"street_{seed:04d}.json").write_text(json.dumps(made_up_street(seed)))
    text = write_table(config, "python tools/ablation.py").read_text()
    assert "2 streets, seeds 0, 1." in text
    assert text[text.index("## 3 m") :] == TABLE
    plain = json.loads((tmp_path / "ablation.json").read_text())
    against = plain["3 m to the side, distilled scene"]["likelihood/both"]["against"]
    assert against["uniform/both"]["psnr_db"]["mean"] == pytest.approx(0.6)
    assert against["uniform/both"]["mobilenet_distance"]["mean"] is None
    (tmp_path / "street_0002.json").write_text(json.dumps(made_up_street(2, "other")))
    with pytest.raises(InputError, match="different settings"):
        write_table(config, "")


def test_gains_at_both_places_and_which_no_other_beats(tmp_path: Path) -> None:
    config = AblationConfig(out=str(tmp_path), **SMALL)
    streets = [made_up_street(seed) for seed in config.seeds]
    worse = {"video": {}, "scene": streets[0]["rows"]["none"]["scene"], "lane": {"psnr_db": 29.8}}
    streets[0]["rows"]["uniform/both/short"] = worse
    streets[1]["rows"]["uniform/both/short"] = worse | {"scene": streets[1]["rows"]["none"]["scene"]}
    points = gains(streets, (*config.rows, Row("uniform", "both", "short")), 3.0)
    found = {point.row.key: (point.lane.mean, point.shift.mean) for point in points}
    assert found.keys() == {"uniform/both", "likelihood/both", "uniform/both/short"}
    assert found["uniform/both"] == pytest.approx((0.0, 0.5)) and found["likelihood/both"] == pytest.approx((-0.1, 1.1))
    assert found["uniform/both/short"] == pytest.approx((0.3, 0.0))
    assert [point.row.key for point in front(points)] == ["likelihood/both", "uniform/both", "uniform/both/short"]
    beaten = dataclasses.replace(points[0], shift=points[-1].shift)
    assert beaten not in front([*points, beaten])


def test_the_plot_puts_every_row_where_its_gains_are(tmp_path: Path) -> None:
    config = AblationConfig(out=str(tmp_path), **SMALL)
    for seed in config.seeds:
        (tmp_path / f"street_{seed:04d}.json").write_text(json.dumps(made_up_street(seed)))
    assert "](pareto_3m.svg)" in write_table(config, "").read_text()
    svg = ElementTree.fromstring((tmp_path / "pareto_3m.svg").read_text())
    places = {}
    for group in svg.iter("{http://www.w3.org/2000/svg}g"):
        for title in group.findall("{http://www.w3.org/2000/svg}title"):
            places[title.text] = [float(value) for value in group.get("transform")[10:-1].split()]
    assert set(places) == {"uniform: +0.00 dB, +0.50 dB", "our EIG: -0.10 dB, +1.10 dB"}
    (lane, shift), (other_lane, other_shift) = places.values()
    assert lane > other_lane and shift > other_shift  # y goes down
    assert {"uniform", "our EIG"} < {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}


def test_a_blind_fixer_keeps_no_pixel_for_being_known() -> None:
    plain = AblationConfig()
    assert plain.editor_of("both") == plain.editor_of("fixer") == plain.refine.editor
    assert plain.editor_of(without_eig("fixer").editors).composite.faithful_share == 0.0


def test_settings_name_what_differs(tmp_path: Path) -> None:
    config = AblationConfig(**SMALL)
    key = require_same_settings(tmp_path, settings_of(config, {"both": "a"}))
    other = AblationConfig(out="elsewhere", **(SMALL | {"seeds": (5,)}))
    assert require_same_settings(tmp_path, settings_of(other, {"both": "a"})) == key
    changed = AblationConfig(**(SMALL | {"shifts_m": (-3.0, 4.0)}))
    with pytest.raises(InputError, match=r"shifts_m: \[-3.0, 3.0\], asked for \[-3.0, 4.0\]") as refusal:
        require_same_settings(tmp_path, settings_of(changed, {"both": "a"}))
    assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match="editors.both: a, asked for b"):
        require_same_settings(tmp_path, settings_of(config, {"both": "b"}))
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == "a.c: None, asked for 2"


def test_one_holder_of_a_claim_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "work" / "street_0000.lock"
    with claim(path) as first, claim(path) as second:
        assert first and not second
    with claim(path) as again:
        assert again


def test_a_claim_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    path = tmp_path / "street_0000.lock"
    code = "import sys, time; from pathlib import Path; from faithfusion.evaluate.result_files import claim\n"
    code += "with claim(Path(sys.argv[1])) as ours:\n    print(ours, flush=True); time.sleep(100)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "True\n"
        with claim(path) as ours:
            assert not ours
    finally:
        holder.kill()
        holder.wait()
    with claim(path) as ours:
        assert ours


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": ()}, "at least one street"),
        ({"seeds": (1, 1)}, "each once"),
        ({"shifts_m": (0.0,)}, "other than 0"),
        ({"editors": {}}, "at least one"),
        ({"editors": {"mine": ({"weights": "w"},)}}, "editors.mine"),
        ({"editors": {"a/b": ({"kind": "wan"},)}}, "a/b"),
    ],
)
def test_bad_rows_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AblationConfig(**options)
