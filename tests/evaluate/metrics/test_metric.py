from __future__ import annotations

import pytest

from faithfusion.evaluate.metrics.metric import Metric
from faithfusion.utils.errors import InputError


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("needs", [("thruth",), "truth"])
def test_what_a_metric_needs_must_be_something_that_a_clip_can_have(needs: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="metric 'Edges': needs = .*expected a tuple of cameras, "):
        Metric(of=lambda clip: 0.0, needs=needs, label="Edges")
