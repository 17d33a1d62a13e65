"""Cells that need another run first: the one whose clusters they learn from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from toy import Spread, cell, study

from counterpoint.app.train import train as train_run
from counterpoint.recipe import part_from_json
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, cluster_labels, kept_labels, own_source
from counterpoint.sources import Digits
from counterpoint.studies import work
from counterpoint.studies.cells import (
    Opened,
    Shelf,
    asked_for,
    digest,
    finished,
    folder_of,
    foreseen,
    lock_of,
    named_data,
    placed,
)
from counterpoint.studies.plan import check
from counterpoint.studies.runner import run
from counterpoint.studies.study import Cell
from counterpoint.studies.work import Busy, perform
from counterpoint.studies.worker import _cell, task_of  # pyright: ignore[reportPrivateUsage]

CLUSTERS = 12


def teacher(seed: int = 0, **more: object) -> Cell:
    return cell("simclr", seed, **more)


def learner(first: Cell, seed: int = 0) -> Cell:
    source = PseudoLabelled(Digits(), folder_of(first).name, CLUSTERS, seed)
    return replace(cell("supcon", seed), source=source, after=first)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run that learned from another one's clusters; the other was trained for it."""
    store = tmp_path_factory.mktemp("cells")
    done = perform(learner(teacher()), (Spread(),), store)
    assert done.complete, done.errors
    return store


def test_the_first_run_is_trained_first(store: Path) -> None:
    first, second = (folder_of(one, store) for one in (teacher(), learner(teacher())))
    assert finished(first)
    assert finished(second)
    train = Digits().load().train
    kept = kept_labels(Run(second).labels, train)
    assert torch.equal(kept, cluster_labels(first, train.images, CLUSTERS, seed=0))
    assert Run(second).recipe()["facts"]["classes"] == CLUSTERS
    assert not (first / "answers").exists(), "nothing was asked of it"


def test_what_a_run_is_says_from_which_run_its_labels_are(store: Path) -> None:
    ours = learner(teacher())
    names = {
        digest(asked_for(one))
        for one in (
            ours,
            learner(teacher(1)),
            learner(teacher(dials={"epochs": 2, "batch_size": 128})),
            replace(ours, source=replace(ours.source, clusters=13)),
            replace(ours, source=replace(ours.source, seed=3)),
            replace(ours, source=Digits(), after=None),
        )
    }
    assert len(names) == 6
    assert asked_for(placed(ours, store)) == asked_for(ours), "but not where it lies"
    assert placed(ours, store).source.store == str(store)  # pyright: ignore[reportAttributeAccessIssue]
    assert placed(teacher(), store).source == Digits()
    assert not named_data(ours.source)


def test_it_is_judged_by_the_labels_that_were_given(store: Path) -> None:
    opened = Opened(placed(learner(teacher()), store), folder_of(learner(teacher()), store))
    assert opened.dataset.classes == tuple("0123456789")
    assert torch.equal(opened.dataset.train.labels, Digits().load().train.labels)
    assert own_source(learner(teacher()).source) == own_source(Digits()) == Digits()


def test_it_is_planned_before_the_first_run_is_there(tmp_path: Path) -> None:
    shelf = Shelf()
    split, facts = foreseen(learner(teacher()), shelf)
    assert facts.classes == CLUSTERS
    assert sorted(split.labels.unique().tolist()) == list(range(CLUSTERS))  # pyright: ignore[reportOptionalMemberAccess]
    made = check((learner(teacher()),), (Spread(),), shelf, tmp_path)
    (built,) = made.values()
    assert built.facts.classes == CLUSTERS
    assert not list(tmp_path.iterdir()), "nothing was trained"


def test_a_study_that_is_done_is_done(store: Path, tmp_path: Path) -> None:
    told: list[object] = []
    both = (teacher(), learner(teacher()))
    results = run(study(both), store=store, quiet=True, after=told.append)
    assert not results.missing
    stamps = {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")}
    run(study(both), store=store, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")} == stamps


def test_a_worker_is_told_all_of_it() -> None:
    ours = learner(teacher(seed=4), seed=4)
    given = json.loads(task_of(ours, (Spread(),), Path("s"), None))
    found = _cell(part_from_json(given["cell"]))
    assert asked_for(found) == asked_for(ours)
    assert found.after is not None
    assert asked_for(found.after) == asked_for(ours.after)  # pyright: ignore[reportArgumentType]
    assert folder_of(found.after) == folder_of(teacher(seed=4))


def test_the_first_runs_failure_is_told(tmp_path: Path) -> None:
    bad = learner(teacher(dials={"epochs": 1, "batch_size": 128, "temperature": -1.0}))
    done = perform(bad, (), tmp_path)
    assert not done.complete
    (why,) = done.errors
    assert why.startswith("the run that its labels come from cannot be used: ")
    assert (folder_of(bad, tmp_path) / "failure.txt").read_text().startswith(why)


def test_while_another_process_trains_the_first_it_waits(tmp_path: Path) -> None:
    held = FileLock(lock_of(teacher(), tmp_path).lock_file)
    with held.acquire(), pytest.raises(Busy):
        perform(learner(teacher()), (), tmp_path)
    assert not folder_of(learner(teacher()), tmp_path).exists()


def test_a_run_goes_on_with_the_labels_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the run that they came from is another by now."""
    first = teacher()
    ours = replace(learner(first), dials={"epochs": 6, "batch_size": 128})
    folder = folder_of(ours, tmp_path)
    perform(first, (), tmp_path)

    def stopped(**asked: Any) -> Any:
        return train_run(**{**asked, "max_time": 0.2})

    with monkeypatch.context() as patch:
        patch.setattr(work, "train", stopped)
        done = perform(ours, (), tmp_path)
    assert not done.complete
    assert not done.errors
    assert not finished(folder)
    kept = kept_labels(Run(folder).labels, Digits().load().train)
    other = folder_of(teacher(1), tmp_path)
    perform(teacher(1), (), tmp_path)
    (folder_of(first, tmp_path) / "encoder.safetensors").write_bytes((other / "encoder.safetensors").read_bytes())
    train = Digits().load().train
    now = cluster_labels(folder_of(first, tmp_path), train.images, CLUSTERS, seed=0)
    assert not torch.equal(now, kept)
    done = perform(ours, (), tmp_path)
    assert done.complete, done.errors
    assert torch.equal(kept_labels(Run(folder).labels, train), kept)
    assert [line["event"] for line in Run(folder).history()].count("resume") == 1


def test_a_first_run_that_is_another_by_now_is_not_used(tmp_path: Path) -> None:
    """Its folder's name is that of what is asked for, and what is in it is not."""
    first = teacher()
    perform(teacher(dials={"epochs": 1, "batch_size": 128, "temperature": 0.9}), (), tmp_path)
    (other,) = tmp_path.glob("simclr-*")
    other.rename(folder_of(first, tmp_path))
    (why,) = perform(learner(first), (), tmp_path).errors
    assert "cannot be used" in why
    assert "temperature" in why
    assert not finished(folder_of(learner(first), tmp_path))
