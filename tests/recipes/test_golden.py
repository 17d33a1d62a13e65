import importlib.util
import json
from pathlib import Path

import pytest

from counterpoint.signature import recipes

TESTS = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("recapture", TESTS / "recapture.py")
recapture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recapture)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_seeded_toy_epoch_reaches_the_stored_loss(name):
    stored = json.loads((TESTS / "golden" / f"{name}.json").read_text())["losses"]
    # Sums are ordered differently on other processors: equal to four digits, not to the bit; a mean of cosines that is
    # near 0 (SimSiam) to a few hundred thousandths, as the cosines are.
    assert recapture.toy_epoch(name) == pytest.approx(stored, rel=1e-4, abs=3e-5)
