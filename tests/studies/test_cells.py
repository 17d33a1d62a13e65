import json
import shutil
from dataclasses import replace

import pytest
import torch
from toy import DIALS, cell

import counterpoint as cp
from counterpoint import sources
from counterpoint.errors import CheckpointError, RecipeError, RunError
from counterpoint.studies.cells import (
    Opened,
    Shelf,
    adopt,
    asked_for,
    difference,
    digest,
    finished,
    folder_of,
    lock_of,
    named_data,
    seconds_of,
)
from counterpoint.studies.once import Once


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained by itself, as `cell()` asks for."""
    folder = tmp_path_factory.mktemp("cells") / "mine"
    cp.train(
        "simclr", source="digits", encoder="mlp", out=folder, dials=DIALS, evaluate=False, report=False, quiet=True
    )
    return folder


def same(first, second):
    return digest(asked_for(first)) == digest(asked_for(second))


def test_a_cell_is_what_it_asks_for():
    one = cell()
    assert same(one, replace(one, place={"elsewhere": "yes"}, precision="bf16-mixed"))
    assert same(one, replace(one, dials={"batch_size": 128.0, "temperature": 0.5, "epochs": 1}))
    settings = {"heads.projector.out": "16", "optim.weight_decay": "0.1"}
    assert same(replace(one, settings=settings), replace(one, settings=dict(reversed(settings.items()))))
    for other in (
        replace(one, seed=1),
        replace(one, recipe="supcon"),
        replace(one, encoder="conv"),
        replace(one, dials={**DIALS, "temperature": 0.6}),
        replace(one, settings=settings),
        replace(one, source=sources.lookup("digits", size=16)),
    ):
        assert not same(one, other)


def test_where_data_lies_is_no_part_of_it_unless_it_says_what_it_is(tmp_path):
    def at(name, root):
        return cell(source=sources.lookup(name, root=str(tmp_path / root)))

    assert same(at("mnist", "a"), at("mnist", "b"))
    assert not same(at("mnist", "a"), at("kmnist", "a"))
    assert not same(at("idx", "a"), at("idx", "b"))
    assert not same(at("folder", "a"), at("folder", "b"))
    nested = [cell(source=Once(at("mnist", root).source, "pami-none")) for root in ("a", "b")]
    assert same(*nested)


def test_a_folder_has_a_name_that_a_person_can_read(tmp_path):
    assert folder_of(cell(seed=3), tmp_path).name.startswith("simclr-digits-3-")
    odd = folder_of(cell(source=Once(sources.lookup("emnist:letters", root="x"), "none")), tmp_path)
    assert odd.name.startswith("simclr-once-emnist-letters-0-")
    with pytest.raises(RecipeError, match="did you mean 'simclr'"):
        folder_of(cell("simcler"), tmp_path)


def test_a_finished_run_is_known(run, tmp_path):
    assert finished(run)
    assert not finished(tmp_path / "nowhere")
    seconds, steps = seconds_of(run)
    assert steps == 11
    assert seconds > 0
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    (cut / "encoder.safetensors").unlink()
    assert not finished(cut)
    shutil.copy(run / "encoder.safetensors", cut)
    lines = (cut / "log.jsonl").read_text().splitlines()
    (cut / "log.jsonl").write_text("\n".join(line for line in lines if '"end"' not in line))
    assert not finished(cut)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (cell(seed=1), "its seed is 0, not 1"),
        (cell("supcon"), "its recipe is 'simclr', not 'supcon'"),
        (cell(encoder="conv"), "its encoder is 'mlp', not 'conv'"),
        (cell(dials={**DIALS, "temperature": 0.1}), "its dials.temperature is 0.5, not 0.1"),
        (cell(dials={"epochs": 1}), "its batch_size is 128, but the cell's is 256"),
        (cell(settings={"optim.weight_decay": "0.5"}), "its settings.optim.weight_decay is None, not '0.5'"),
        (cell(source=sources.lookup("digits", size=16)), "its source.size is None, not 16"),
    ],
)
def test_what_differs_is_said(run, other, said):
    assert said in difference(other, run)


def test_a_run_is_adopted_by_the_cell_that_asks_for_it(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    store = tmp_path / "cells"
    with pytest.raises(RunError, match="is not the run that the cell asks for: its seed"):
        adopt(copy, cell(seed=1), store)
    target = adopt(copy, cell(), store)
    assert target == folder_of(cell(), store)
    assert finished(target)
    assert not copy.exists()
    shutil.copytree(run, copy)
    with pytest.raises(RunError, match="exists already"):
        adopt(copy, cell(), store)
    assert copy.exists()


def test_a_run_is_not_adopted_while_somebody_works_on_it_or_on_the_cell(run, tmp_path):
    copy, store = tmp_path / "copy", tmp_path / "cells"
    shutil.copytree(run, copy)
    log = copy / "log.jsonl"
    lines = log.read_text()
    log.write_text("\n".join(line for line in lines.splitlines() if '"end"' not in line))
    with pytest.raises(RunError, match="is not trained to its end, so it stays"):
        adopt(copy, cell(), store)
    log.write_text(lines)
    with lock_of(cell(), store), pytest.raises(RunError, match="another process works on"):
        adopt(copy, cell(), store)
    assert copy.exists()
    assert adopt(copy, cell(), store).exists()


def test_data_of_a_known_name_is_told_from_a_folder(tmp_path):
    def at(name):
        return sources.lookup(name, root=str(tmp_path))

    assert all(map(named_data, (at("mnist"), Once(at("cifar10"), "none"))))
    assert not any(map(named_data, (at("folder"), at("idx"), Once(at("folder"), "none"), sources.lookup("digits"))))


def test_a_default_batch_that_was_halved_is_the_same_cell(tmp_path):
    dials = {"epochs": 1}
    folder = tmp_path / "halved"
    cp.train(
        "simclr", source="digits", encoder="mlp", out=folder, dials=dials, evaluate=False, report=False, quiet=True
    )
    assert difference(cell(dials=dials), folder) == ""


def test_an_opened_cell_has_what_evaluators_ask_for(run):
    opened = Opened(cell(), run)
    assert opened.test.h.shape == (len(opened.dataset.test), 400)
    assert torch.equal(opened.train.labels, opened.dataset.train.labels)
    assert not opened.model.training
    loaded = cp.load(run)
    assert torch.allclose(torch.from_numpy(loaded.embed(opened.dataset.test.images)), opened.test.h, atol=1e-6)
    before = dict(opened.untrained.named_parameters())
    assert any(not torch.equal(p, before[name]) for name, p in opened.model.named_parameters())
    assert opened.recipe.epochs == 1
    assert opened.test is opened.test


def test_other_data_is_refused(run, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    kept = json.loads((changed / "recipe.json").read_text())
    kept["facts"]["images"] = 99
    (changed / "recipe.json").write_text(json.dumps(kept))
    with pytest.raises(RunError, match="images: 99 then, 1445 now"):
        _ = Opened(cell(), changed).dataset


def test_a_run_without_a_checkpoint_cannot_be_opened(run, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        _ = Opened(cell(), bare).test


def test_a_shelf_holds_the_last_data_sets():
    shelf = Shelf(room=2)
    sized = [sources.lookup("digits", size=size) for size in (8, 9, 10)]
    first = shelf.load(sized[0])
    assert shelf.load(sources.lookup("digits", size=8)) is first
    shelf.load(sized[1])
    shelf.load(sized[0])
    shelf.load(sized[2])
    assert shelf.load(sized[0]) is first
    assert len(shelf._held) == 2
    assert shelf.facts(sized[1]).size == 9
