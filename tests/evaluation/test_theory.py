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


def test_classes_of_one_or_two_images_are_left_out_and_counted(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 100)
    some = made(42, 0, classes=3)
    labels = torch.cat((some.labels[:39], torch.tensor([3, 4, 4])))
    found = theory(Embeddings(some.h, some.sample, labels=labels), train=made(40, 1, z=False))
    assert found.layers[0].bounds[0].classes == 3
    assert found.layers[0].bounds[0].rows == 39
    assert "2 of the 5 classes have fewer than 3 test images" in found.notes[0]
    alone = theory(Embeddings(some.h, some.sample, labels=torch.arange(42) // 2))
    assert not alone.layers[0].bounds
    assert "Fewer than two classes have 3 test images" in alone.notes[0]
    assert ANOTHER_OF_THE_CLASS in alone.layers[0].changes


def test_few_labels_among_many_rows_are_all_taken_and_every_class_has_its_part(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 100)
    monkeypatch.setattr(module, "BOUND_ROWS", 100)
    many = made(2001, 0, z=False)
    rare = torch.full((2001,), -1)
    rare[[5, 700, 1900, 8, 30, 1200]] = torch.tensor([0, 0, 0, 1, 1, 1])
    for seed in range(4):
        found = theory(Embeddings(many.h, many.sample, labels=rare), seed=seed)
        assert found.layers[0].bounds[0].rows == 6
    uneven = torch.where(torch.arange(2001) < 1900, 0, torch.arange(2001) % 3)
    one = theory(Embeddings(many.h, many.sample, labels=uneven)).layers[0].bounds[0]
    assert one.rows == 97 + 10 + 10
    share = torch.bincount(uneven).double() / 2001
    assert one.collision == pytest.approx(float(share.square().sum())), "classes count as often as all rows have them"
    assert list(one.blocks) == [1, 2], "smaller than half of the smallest class"


def test_what_cannot_be_measured_costs_no_other_part(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 100)
    test = made(60, 0)
    narrow = [
        Embeddings(one.h, one.sample, z=one.h[:, :1], labels=one.labels) for one in (test, made(30, 1), made(30, 2))
    ]
    found = theory(narrow[0], views=(narrow[1], narrow[2]))
    assert "z has one dimension" in found.notes[0]
    h, z = found.layers
    assert h.gaps is not None
    assert z.gaps is z.limit is None
    assert z.bounds
    broken = test.z.clone()
    broken[7] = math.nan
    found = theory(Embeddings(test.h, test.sample, z=broken, labels=test.labels))
    assert [layer.name for layer in found.layers] == ["h"]
    assert "z holds numbers that are not finite" in found.notes[-1]
    assert theory_sections(found)


def test_a_collapsed_layer_does_not_count_as_unmoved(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 100)
    one = Embeddings(torch.ones(30, 4), torch.arange(30), labels=torch.arange(30) % 2)
    found = theory(one)
    assert not any(measure.name.startswith("moved") for measure in found.measures())
    assert "nan" not in str(theory_sections(found)[-1].exhibits[0])
