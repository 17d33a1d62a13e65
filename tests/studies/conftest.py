import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_time_for_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step is enough to say what a toy costs."""
    monkeypatch.setattr("counterpoint.studies.plan._MEASURING", 0.0)
