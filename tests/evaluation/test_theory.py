import math

import pytest
import torch

from counterpoint.evaluation import theory as module
from counterpoint.evaluation.class_bound import bound
from counterpoint.evaluation.minima import gaps
from counterpoint.evaluation.theory import ANOTHER_OF_THE_CLASS, Change, theory
from counterpoint.report.exhibits import Table
from counterpoint.report.theory import theory_sections
from counterpoint.types import Embeddings

TURN = Change("rotation", "10°")


def made(n, seed, *, labels=True, classes=3, z=True):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    h = 2 * torch.eye(8)[y] + 0.5 * torch.randn(n, 8, generator=generator)
    return Embeddings(h, torch.arange(n), z=h[:, :4] if z else None, labels=y if labels else None)


@pytest.fixture(scope="module")
def found():
    patched = pytest.MonkeyPatch()
    patched.setattr(module, "DRAWS", 1000)
    test = made(120, 1)
    views = made(60, 2), made(60, 3)
    turned = Embeddings(test.h[:50] + 0.1, torch.arange(50), z=test.z[:50] + 0.1)
    yield theory(test, train=made(200, 0), views=views, changed={TURN: turned}, temperature=0.2)
    patched.undo()


def test_every_part_is_the_function_that_studies_call(found):
    h, z = found.layers
    assert (h.name, h.width, z.name, z.width) == ("h", 8, "z", 4)
    views = made(60, 2), made(60, 3)
    assert h.gaps == gaps(views[0].h, views[1].h)
    assert h.bounds[0] == bound(made(120, 1).h, made(120, 1).labels, draws=1000)
    assert [(one.loss, one.negatives) for one in h.bounds] == [
        ("hinge", 1), ("logistic", 1), ("hinge", 4), ("logistic", 4),
    ]  # fmt: skip
    assert max(float(one.radius) for one in z.bounds) == pytest.approx(1), "rows of z have length one"
    assert h.limit is not None
    assert h.limit.temperature == found.temperature == 0.2
    assert h.shared is not None
    assert h.shared.batch == 30
    assert set(h.changes) == {TURN, ANOTHER_OF_THE_CLASS}
    assert h.changes[TURN].moved.value < 0.1 < h.changes[ANOTHER_OF_THE_CLASS].moved.value < 1
    assert h.tasks is not None
    assert (h.tasks.count, h.tasks.of) == (3, 3)
    assert float(h.tasks.weight.sum()) == pytest.approx(1)
    assert h.tasks.mean(h.tasks.losses.accuracy) > 0.95
    assert not found.notes


def test_its_numbers_stand_among_the_scores(found):
    names = {measure.name: measure for measure in found.measures()}
    wanted = "gap_to_uniform shared_information mean_classifier_loss bound bound_slack moved_rotation moved_instance"
    assert set(names) == {*wanted.split(), *(f"{name}_z" for name in wanted.split())}
    assert all(m.low <= m.value <= m.high and m.group == "theory" and m.note for m in names.values())
    below, limit, slack = (names[name].value for name in ("mean_classifier_loss", "bound", "bound_slack"))
    assert limit - below == pytest.approx(slack)


def test_the_page_has_a_section_for_each_part(found):
    sections = theory_sections(found)
    assert [section.key for section in sections] == ["minima", "information", "bound", "invariance"]
    tables = {t.name: t for section in sections for t in section.exhibits if isinstance(t, Table)}
    assert set(tables) == {
        "minima", "limit", "information", "bound", "blocks", "second-theorem", "tasks", "invariance",
        "invariance-units",
    }  # fmt: skip
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows), table.name
    assert len(tables["invariance-units"].rows) == 8 + 4
    assert [row[2] for row in tables["blocks"].rows[:4]] == [1, 2, 5, 10]
    words = " ".join(word for section in sections for word in section.words)
    assert "not claimed of the pairs" in words


def test_without_labels_or_views_it_says_what_is_left_out():
    found = theory(made(40, 0, labels=False, z=False))
    assert len(found.layers) == 1
    layer = found.layers[0]
    assert layer.gaps is layer.limit is layer.shared is layer.tasks is layer.train_loss is None
    assert not layer.bounds
    assert not layer.changes
    assert "There are no labels" in found.notes[0]
    assert "no two whole views" in found.notes[1]
    assert theory_sections(found) == ()
    assert found.measures() == ()


def test_one_image_is_too_few():
    found = theory(made(1, 0), views=(made(1, 1), made(1, 2)))
    assert "one class" in found.notes[0]
    assert "one test image" in found.notes[1]
    assert found.measures() == ()


def test_one_class_has_no_tasks_and_a_class_that_training_lacks_is_in_none(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 100)
    alone = theory(made(40, 0, classes=1))
    assert "one class" in alone.notes[0]
    assert not alone.layers[0].bounds
    found = theory(made(80, 0, classes=4), train=made(90, 1, classes=3))
    tasks = found.layers[0].tasks
    assert tasks is not None
    assert tasks.of == 3
    assert math.isfinite(tasks.mean(tasks.losses.linear))
