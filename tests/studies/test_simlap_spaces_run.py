"""The studies of SimLAP's spaces from training to their pages, on digits with a made-up hierarchy."""

from pathlib import Path
from typing import Any

import pytest
from kin import KinDigits

from counterpoint.studies.conduct import Studied
from counterpoint.studies.conduct import study as run_study

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("simlap-spaces")]  # one store of runs

OPTIONS: dict[str, dict[str, Any]] = {
    "similarity": {"methods": "supcon,simlap"},
    "motivation": {"pairs": 5},
    "maps": {"groups": "closed;open", "each": 3},
    "overlap": {"methods": "simclr,supcon,simlap"},
    "gates": {},
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


def _run(name: str, cells: Path, out: Path, **more: Any) -> Studied:
    given: dict[str, Any] = {"source": KinDigits(), "options": {"images": 2000, **OPTIONS[name]}, **more}
    done = run_study(f"simlap-{name}", scale="smoke", out=out, cells=cells, quiet=True, **given)
    assert [result.error for result in done.results.missing] == []
    assert done.page.is_file()
    return done


def test_similarity_runs(cells: Path, tmp_path: Path) -> None:
    done = _run("similarity", cells, tmp_path)
    for result in done.results:
        likeness = result.found["likeness"]
        assert 0 <= likeness["kin"]["features"]["auroc"] <= 1
        assert len(likeness["matrices"]["features"]) == 10
    (simlap,) = done.results.at(method="simlap")
    inside = simlap.found["inside"]
    assert {kind: inside[kind]["count"] for kind in ("supers", "drawn", "kin", "unrelated")} == {
        "supers": 3,
        "drawn": 3,
        "kin": 12,
        "unrelated": 33,
    }
    assert len(inside["sets"]) == 3
    assert (tmp_path / "tables" / "likeness.csv").is_file()


@pytest.mark.parametrize("name", ["motivation", "maps", "overlap", "gates"])
def test_the_others_run_on_the_same_cells(cells: Path, tmp_path: Path, name: str) -> None:
    done = _run(name, cells, tmp_path)
    for result in done.results:
        if name == "motivation":
            found = result.found["low-variance"]
            assert {kind: found["learned"][kind]["pairs"] for kind in ("kin", "unrelated")} == {
                "kin": 5,
                "unrelated": 5,
            }
            assert 0 < found["untrained"]["kin"]["lowest"]["auroc"] <= 1
        elif name == "maps":
            found = result.found["pair-space"]
            assert found["classes"] == ["0", "6", "8", "2", "3", "5"]
            assert len(found["maps"]["pair"]["xy"]) == len(found["labels"])
            assert 0.2 < found["maps"]["h"]["space"]["class"] <= 1
        elif name == "overlap":
            found = result.found["overlap"]
            assert 0 < found["learned"]["overlap"] < 1
            assert ("pixels" in found) == (result.cell.place["method"] == "simclr")
        else:
            found = result.found["gates"]
            assert sum(found["histogram"]) == pytest.approx(1.0)
            assert 0 < found["mean"] < 1
            assert 0 < result.found["source"]["learned"]["probe"] <= 1


def test_data_without_super_classes(tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    for name in ("similarity", "motivation"):
        done = _run(name, cells, tmp_path / name, source=None)
        assert not any(key.endswith("kin") for key in done.decisions)
