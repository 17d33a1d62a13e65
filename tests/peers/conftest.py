"""Other libraries, whose losses ours are held against: skipped where they are missing, unless they are asked for."""

import importlib

import pytest


def imported(config, package, module):
    try:
        return importlib.import_module(f"{package}.{module}")
    except ModuleNotFoundError as missing:
        if missing.name != package:
            raise
        if config.getoption("require_peers", False):
            pytest.fail(f"{package} is not installed; `make test-peers` installs it")
        pytest.skip(f"{package} is not installed; `make test-peers` installs it and runs this test")


@pytest.fixture
def lightly(request):
    """Its losses."""
    return imported(request.config, "lightly", "loss")


@pytest.fixture
def metric_learning(request):
    """The package, with its losses, miners, distances and reducers."""
    for module in ("losses", "miners", "distances", "reducers"):
        imported(request.config, "pytorch_metric_learning", module)
    return importlib.import_module("pytorch_metric_learning")
