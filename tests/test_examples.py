import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_an_example_runs(name, tmp_path):
    if "lightning" in name:
        pytest.importorskip("lightning", reason="the extra is not installed")
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "2"}
    line = [
        sys.executable,
        str(EXAMPLES / name),
        *([str(tmp_path / "run")] if name in ("simclr_train.py", "own_recipe.py") else []),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
