import numpy as np
import pytest
from reference.uncertainty import ause_all_orders, reliability_loops, remaining_error_all_orders, spearman_by_counting

from faithfusion.evaluate.metrics.uncertainty import (
    covered_error_share,
    reliability,
    sparsification,
    spearman,
    subsample,
)
from faithfusion.utils.errors import InputError


def random_pair(n: int, seed: int, levels: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Uncertainty and error; with few `levels` many pixels share their uncertainty."""
    rng = np.random.default_rng(seed)
    uncertainty = rng.random(n) if levels is None else rng.integers(0, levels, n).astype(float)
    return uncertainty, rng.random(n) + 0.5 * uncertainty


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("seed", range(3))
def test_spearman_equals_counting_ranks(levels: int | None, seed: int) -> None:
    uncertainty, error = random_pair(60, seed, levels)
    error = error.round(1)  # ties on both sides
    assert spearman(uncertainty, error) == pytest.approx(spearman_by_counting(uncertainty, error), abs=1e-12)


def test_spearman_of_a_monotone_map_is_one_and_of_a_constant_undefined() -> None:
    values = np.linspace(0.1, 1, 20)
    assert spearman(values, np.exp(values)) == pytest.approx(1.0)
    assert spearman(values, -values) == pytest.approx(-1.0)
    assert np.isnan(spearman(values, np.ones(20)))


@pytest.mark.parametrize("uncertainty", [[3.0, 1, 6, 2, 5, 4], [2.0, 0, 0, 1, 0, 2], [1.0] * 6])
def test_sparsification_equals_the_average_over_all_orders(uncertainty: list[float]) -> None:
    uncertainty, error = np.array(uncertainty), random_pair(6, 1, None)[1]
    result = sparsification(uncertainty, error)
    np.testing.assert_allclose(result.curve, remaining_error_all_orders(uncertainty, error), rtol=1e-12)
    np.testing.assert_allclose(result.oracle, remaining_error_all_orders(error, error), rtol=1e-12)
    assert result.ause == pytest.approx(ause_all_orders(uncertainty, error), abs=1e-12)


def test_ause_ranks_perfect_noisy_random_and_inverted_maps() -> None:
    rng = np.random.default_rng(0)
    error = rng.exponential(size=20_000)
    maps = (error, error + rng.normal(size=error.size), rng.random(error.size), -error)
    perfect, noisy, random, inverted = (sparsification(values, error).ause for values in maps)
    assert perfect == 0.0
    assert perfect < noisy < random < inverted
    oracle_area = np.trapezoid(sparsification(error, error).oracle, np.arange(100) / 100)
    assert random == pytest.approx(0.99 - oracle_area, abs=0.03)


def test_ties_do_not_depend_on_pixel_order() -> None:
    uncertainty, error = random_pair(500, 2, 4)
    order = np.random.default_rng(3).permutation(500)
    assert sparsification(uncertainty, error).ause == pytest.approx(
        sparsification(uncertainty[order], error[order]).ause, abs=1e-12
    )
    pairs = reliability(uncertainty, error), reliability(uncertainty[order], error[order])
    np.testing.assert_allclose(pairs[0].actual_rms, pairs[1].actual_rms, rtol=1e-12)
    lowest = np.sqrt(error[uncertainty == 0].mean())
    np.testing.assert_allclose(pairs[0].actual_rms[:2], [lowest, lowest], rtol=1e-12)  # 10 groups, 4 levels


def test_a_faultless_render_has_flat_curves() -> None:
    assert sparsification(np.arange(10.0), np.zeros(10)).ause == 0.0


def test_reliability_equals_loops_and_finds_overconfidence() -> None:
    rng = np.random.default_rng(4)
    predicted = rng.random(200) * 0.1
    actual = 4.0 * predicted * rng.random(200)
    result = reliability(predicted, actual, num_bins=8)
    pairs = np.array(reliability_loops(predicted, actual, 8))
    np.testing.assert_allclose(result.predicted_rms, pairs[:, 0], rtol=1e-12)
    np.testing.assert_allclose(result.actual_rms, pairs[:, 1], rtol=1e-12)
    right, overconfident = reliability(predicted, predicted), reliability(predicted, 4 * predicted)
    np.testing.assert_array_equal(right.actual_rms, right.predicted_rms)
    np.testing.assert_allclose(overconfident.actual_rms, 2 * overconfident.predicted_rms)


def test_covered_error_share() -> None:
    error, region = np.array([1.0, 3.0, 0.0, 4.0]), np.array([True, False, True, True])
    assert covered_error_share(error, region) == pytest.approx(5 / 8)
    assert np.isnan(covered_error_share(np.zeros(4), region))


def test_subsample_keeps_pixels_paired_and_repeats() -> None:
    values = np.arange(1000.0).reshape(10, 100)
    a, b = subsample(values, 2 * values, max_points=50)
    assert a.shape == (50,)
    np.testing.assert_array_equal(b, 2 * a)
    np.testing.assert_array_equal(a, subsample(values, max_points=50)[0])
    np.testing.assert_array_equal(subsample(values, max_points=1000)[0], values.ravel())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("uncertainty", "error"),
    [
        (np.ones(3), np.ones(4)),
        (np.ones(0), np.ones(0)),
        (np.ones((2, 2)), np.ones((2, 2))),
        (np.array([1.0, np.nan]), np.ones(2)),
    ],
)
def test_unusable_maps_are_refused(uncertainty: np.ndarray, error: np.ndarray) -> None:
    for measure in (spearman, sparsification, reliability):
        with pytest.raises(InputError, match="uncertainty and error"):
            measure(uncertainty, error)
