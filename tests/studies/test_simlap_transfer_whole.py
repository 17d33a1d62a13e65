"""Each study about SimLAP's transfer from its first run to its page, in seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counterpoint.recipe import part_from_json
from counterpoint.run import Run
from counterpoint.studies.cells import folder_of
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.simlap.durations import simlap_durations
from counterpoint.studies.simlap.pseudo_labels import simlap_pseudo_labels
from counterpoint.studies.simlap.transfer import simlap_transfer
from counterpoint.studies.simlap.vit import simlap_vit
from counterpoint.studies.study import Study

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("simlap-transfer")]  # one store of runs

MAKES: dict[str, Callable[..., Study]] = {
    "simlap-transfer": simlap_transfer,
    "simlap-durations": simlap_durations,
    "simlap-pseudo-labels": simlap_pseudo_labels,
    "simlap-vit": simlap_vit,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


@pytest.mark.parametrize("name", MAKES)
def test_smoke(name: str, store: Path, tmp_path: Path) -> None:
    """In one store: a run that two of the studies need is trained once."""
    options: dict[str, Any] = {"durations": (1, 2)} if name == "simlap-durations" else {}
    made = MAKES[name](scale="smoke", images=256 if name == "simlap-vit" else 400, **options)
    done = run_study(made, scale="smoke", cells=store, out=tmp_path / "page", quiet=True)
    assert not done.results.missing, [r.error for r in done.results.missing]
    assert {d.verdict for d in done.decisions.values()} == {"undecided"}
    assert all(d.value is not None for d in done.decisions.values()), "all was measured"
    page = done.page.read_text()
    assert "untrained encoder" in page
    if name == "simlap-pseudo-labels":
        runs_of = {(r.cell.place["labels"], r.cell.recipe): r.folder for r in done.results}
        ours = Run(runs_of["clusters", "simlap"]).recipe()  # pyright: ignore[reportArgumentType]
        assert ours["source"]["run"] == runs_of["none", "simclr"].name  # pyright: ignore[reportOptionalMemberAccess]
        assert part_from_json(ours["source"]).store == str(store)
        assert folder_of(done.study.cells[-1], store) == runs_of["clusters", "simlap"]
