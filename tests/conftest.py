"""What every test shares: shapes are checked, one thread, one hypothesis profile.

The import hook makes jaxtyping and beartype check every annotated function of the package; it must come before the
first import of counterpoint.
"""

import os
import sys

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

from jaxtyping import install_import_hook  # noqa: E402

sys.path.insert(0, os.path.dirname(__file__))
install_import_hook("counterpoint", "tower.checked")

from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

settings.register_profile(
    "counterpoint",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("counterpoint")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-peers` asks for the other libraries; elsewhere a test of theirs is skipped."""
    parser.addoption("--require-peers", action="store_true", help="fail, not skip, where a peer is not installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Where a test's run may go; it does not exist yet."""
    return tmp_path / "runs" / "test"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets named by COUNTERPOINT_DATA; the test is skipped where it is not set."""
    folder = os.environ.get("COUNTERPOINT_DATA")
    if not folder:
        pytest.skip("set COUNTERPOINT_DATA to a folder of data sets to run this test")
    return Path(folder)


@pytest.fixture
def untouched_generator() -> Iterator[None]:
    """Fail if the test moves torch's global generator: the library must leave the caller's as it was."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "torch's global generator was moved"
