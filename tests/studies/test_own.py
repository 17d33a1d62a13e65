import re
from pathlib import Path

import pytest
import toy

from counterpoint.errors import CounterpointError, RecipeError, SourceError
from counterpoint.studies.claims import decide
from counterpoint.studies.exhibit import sections_of
from counterpoint.studies.own import read_own
from counterpoint.studies.study import Result, Results

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_study.toml"
PLAIN = """
encoder = "mlp"
seeds = [0, 4]
[grid]
recipe = ["simclr", "supcon"]
temperature = [0.1, 0.5]
"set.optim.weight_decay" = [0.0, 1e-2]
[fixed]
epochs = 1
set.heads.projector.out = 16
[[claim]]
measure = "linear_probe"
better = { recipe = "supcon", temperature = 0.1 }
than = { recipe = "simclr", temperature = 0.1 }
"""


def read(folder: Path, text: str, **more):
    path = folder / "mine.toml"
    path.write_text(text)
    return read_own(path, **more)


def test_a_grid_is_every_combination_with_every_seed(tmp_path):
    study = read(tmp_path, PLAIN)
    assert (study.name, study.title) == ("mine", "mine")
    assert len(study.cells) == 2 * 2 * 2 * 2
    assert {cell.seed for cell in study.cells} == {0, 4}
    first = study.cells[0]
    assert first.place == {"recipe": "simclr", "temperature": "0.1", "set.optim.weight_decay": "0.0"}
    assert (first.recipe, first.encoder, first.dials) == ("simclr", "mlp", {"temperature": 0.1, "epochs": 1})
    assert first.settings == {"optim.weight_decay": "0.0", "heads.projector.out": "16"}
    assert [e.name for e in study.evaluators] == ["scores"]
    assert {cell.seed for cell in read(tmp_path, PLAIN, seeds=(7,)).cells} == {7}


def test_sources_may_be_an_axis_and_paths_are_those_of_the_file(tmp_path):
    (tmp_path / "photos").mkdir()
    text = """
    recipe = "simclr"
    [grid]
    source = ["digits", { name = "folder", root = "photos", size = 16, labels = "none" }]
    """
    digits, photos = read(tmp_path, text).cells
    assert digits.place == {"source": "digits"}
    assert photos.place == {"source": "folder:photos"}
    assert (photos.source.root, photos.source.size) == (str(tmp_path / "photos"), 16)


def test_two_sources_never_share_a_place(tmp_path):
    for folder in ("x/train", "y/train", "z/other"):
        (tmp_path / folder).mkdir(parents=True)
    text = 'recipe = "simclr"\n[grid]\nsource = ["./x/train", "./y/train", "z/other"]'
    cells = read(tmp_path, text).cells
    assert [cell.place["source"] for cell in cells] == ["./x/train", "./y/train", "other"]
    assert [cell.source.root for cell in cells] == [str(tmp_path / f) for f in ("x/train", "y/train", "z/other")]
    text = 'recipe = "simclr"\n[grid]\nsource = [{ name = "digits", size = 8 }, { name = "digits", size = 16 }]'
    assert [c.place["source"] for c in read(tmp_path, text).cells] == ["digits, size 8", "digits, size 16"]
    text = 'recipe = "simclr"\n[grid]\nsource = ["digits", { name = "digits" }]'
    with pytest.raises(RecipeError, match=r"grid\.source: .* names a source twice"):
        read(tmp_path, text)


def test_a_dial_that_is_fixed_goes_to_the_recipes_that_have_it(tmp_path):
    text = '[grid]\nrecipe = ["simclr", "supervised"]\n[fixed]\ntemperature = 0.2\n'
    with_it, without = read(tmp_path, text).cells
    assert with_it.dials == {"temperature": 0.2}
    assert without.dials == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('recipes = "simclr"', "recipes: unknown field; did you mean 'recipe'"),
        ('recipe = "simcler"', "recipe: unknown recipe 'simcler': did you mean 'simclr'"),
        ('[grid]\nrecipe = ["simclr", "sup"]', "grid.recipe: unknown recipe 'sup'"),
        ('recipe = "simclr"\n[grid]\ntemprature = [1, 2]', "no dial 'temprature'; did you mean 'temperature'"),
        (
            '[grid]\nrecipe = ["simclr", "supervised"]\ntemperature = [1]',
            "'supervised' has no dial 'temperature': 'simclr' has it",
        ),
        ('recipe = "simclr"\n[fixed]\nepoch = 3', "fixed.epoch: recipe 'simclr' has no dial 'epoch'; did you mean"),
        ('recipe = "simclr"\n[grid]\nepochs = 3', "grid.epochs: got 3, expected a list"),
        ('recipe = "simclr"\n[grid]\nepochs = []', "grid.epochs: got [], expected a list"),
        ('recipe = "simclr"\n[grid]\nepochs = [3, 3]', "grid.epochs: [3, 3] names a value twice"),
        ('recipe = "simclr"\n[grid]\nrecipe = ["supcon"]', "'recipe' is given outside the grid too"),
        ('recipe = "simclr"\n[grid]\nepochs = [1]\n[fixed]\nepochs = 2', "'epochs' stands in [fixed] too"),
        ('[grid]\npolicy = ["none"]', "recipe: no recipe is named"),
        ('recipe = "simclr"\nencoder = "mpl"', "encoder: unknown encoder 'mpl'; did you mean 'mlp'"),
        ('recipe = "simclr"\nseeds = 0', "seeds: got 0"),
        ('recipe = "simclr"\nseeds = [1, 1]', "seeds: got [1, 1]"),
        ('recipe = "simclr"\nseeds = "three"', "seeds: got 'three'"),
        ('recipe = "simclr"\nmeasure = "knn"', "measure: 'knn' is no measure"),
        ('recipe = "simclr"\nevaluators = ["score"]', "there is no evaluator 'score'; did you mean 'scores'"),
        ('recipe = "simclr"\nevaluators = ["math:pi"]', "'math:pi' is no evaluator"),
        ('recipe = "simclr"\nsource = "mnst"', "source: there is no source 'mnst'; did you mean 'mnist'"),
        ('recipe = "simclr"\nsource = 3', "source: got 3"),
        ('recipe = "simclr"\nsource = { name = "folder", root = "nowhere", sizes = 3 }', "takes no sizes"),
        ("recipe = ", "is no valid TOML"),
        ('recipe = "simclr"\ngrid = 3', "grid: got 3, expected a table"),
        ('[grid]\nrecipe = ["simclr"]\n[[claim]]\nbetter = { recipe = "simclr" }', "claim 1: it lacks 'than'"),
        (
            '[grid]\nrecipe = ["simclr", "supcon"]\n[[claim]]\nbetter = { recipe = "x" }\nthan = { recipe = "supcon" }',
            "claim 1, better: the axis 'recipe' has no 'x'",
        ),
        (
            '[grid]\nrecipe = ["simclr"]\n[[claim]]\nbetter = { policy = "x" }\nthan = { recipe = "simclr" }',
            "claim 1, better: the grid has no axis 'policy'",
        ),
        ('recipe = "simclr"\n[[claim]]\nbeter = 1', "claim 1: unknown field 'beter'; did you mean 'better'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_field(tmp_path, text, said):
    with pytest.raises(CounterpointError) as told:
        read(tmp_path, text)
    assert said in str(told.value)
    assert "mine.toml" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(RecipeError, match="there is no file"):
        read_own(tmp_path / "none.toml")
    with pytest.raises(SourceError, match="source"):
        read(tmp_path, 'recipe = "simclr"\nsource = "./nowhere"')


# ---------------------------------------------------------------- what its page shows


def results(study, score):
    """Made-up answers: `score(cell)` as the linear probe."""
    found = []
    for cell in study.cells:
        value = score(cell)
        answer = {
            "learned": {"linear_probe": value, "knn_accuracy": 0.5},
            "pixels": {"linear_probe": 0.4},
            "untrained": {"linear_probe": 0.3},
            "measures": {"linear_probe": {"label": "linear probe accuracy", "better": "higher"}},
        }
        missing = value is None
        found.append(Result(cell, None if missing else Path("x"), {} if missing else {"scores": answer}))
    return Results(tuple(found))


def supcon_wins(cell):
    return 0.5 + 0.1 * (cell.recipe == "supcon") + 0.01 * cell.seed * (1 + (cell.recipe == "supcon"))


def test_a_claim_is_decided_in_pairs_over_seeds(tmp_path):
    study = read(tmp_path, PLAIN.replace("[0, 4]", "3"))
    found = decide(study, results(study, supcon_wins))["claim-1"]
    assert (found.verdict, found.seeds, found.value) == ("held", 3, pytest.approx(0.11))
    turned = read(tmp_path, PLAIN.replace("[0, 4]", "3") + "lower = true\n")
    assert decide(turned, results(turned, supcon_wins))["claim-1"].verdict == "not held"
    lone = read(tmp_path, PLAIN, seeds=(0,))
    assert decide(lone, results(lone, supcon_wins))["claim-1"].verdict == "undecided"


def test_a_seed_that_lacks_a_cell_is_left_out(tmp_path):
    study = read(tmp_path, PLAIN.replace("[0, 4]", "3"))
    gone = results(study, lambda cell: None if cell.seed == 1 and cell.recipe == "simclr" else supcon_wins(cell))
    assert decide(study, gone)["claim-1"].seeds == 2
    empty = results(study, lambda cell: None)
    assert decide(study, empty)["claim-1"].verdict == "undecided"
    assert study.sections(empty)


def test_the_tables_hold_what_was_measured(tmp_path):
    text = PLAIN.replace("[0, 4]", "3").replace('encoder = "mlp"', 'encoder = "mlp"\nmeasure = "linear_probe"')
    study = read(tmp_path, text)
    sections = {section.key: section for section in study.sections(results(study, supcon_wins))}
    means = sections["means"].exhibits[0]
    assert means.columns[:5] == ("recipe", "temperature", "set.optim.weight_decay", "seeds", "linear probe accuracy")
    assert means.rows[0][:6] == ("simclr", "0.1", "0.0", 3, pytest.approx(0.51), pytest.approx(0.01))
    bars = sections["figure"].exhibits[0]
    assert set(bars.groups) == {"learned", "pixels", "untrained"}
    assert len(bars.names) == 8
    rows = {row[:2]: row for row in sections["differences"].exhibits[0].rows}
    recipe = rows["recipe", "simclr less supcon"]
    assert recipe[2] == pytest.approx(-0.11)
    assert recipe[-1] is True
    assert rows["temperature", "0.1 less 0.5"][2] == 0
    assert rows["temperature", "0.1 less 0.5"][-1] is False
    assert len(sections["cells"].exhibits[0].rows) == len(study.cells)


def test_the_example_is_three_recipes_two_augmentations_three_seeds():
    study = read_own(EXAMPLE)
    assert len(study.cells) == 18
    assert len({cell.recipe for cell in study.cells}) == 3
    assert len(study.claims) == 2


def test_without_labels_another_measure_takes_its_place(tmp_path):
    study = read(tmp_path, '[grid]\nrecipe = ["simclr", "supcon"]')
    answer = {"learned": {"uniformity": -2.0}, "measures": {"uniformity": {"label": "uniformity", "better": "lower"}}}
    found = Results(tuple(Result(cell, Path("x"), {"scores": answer}) for cell in study.cells))
    means, figure, *_ = study.sections(found)
    assert means.exhibits[0].columns == ("recipe", "seeds", "uniformity", "± uniformity")
    assert figure.exhibits[0].groups["learned"] == (-2.0, -2.0)


@pytest.mark.long
def test_the_example_runs_at_toy_size(tmp_path):
    from counterpoint.studies.conduct import study as run_study

    text = EXAMPLE.read_text().replace("epochs = 20", "epochs = 1").replace("seeds = 3", "seeds = 1")
    text = text.replace(', "supervised"]', "]")
    path = tmp_path / "own_study.toml"
    path.write_text(re.sub(r'"elastic", "translate"', '"elastic"', text).replace('policy = "translate"', "epochs = 1"))
    with pytest.raises(RecipeError, match="claim 2, than: the grid has no axis 'epochs'"):
        run_study(path, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    path.write_text(path.read_text().replace(", epochs = 1 }", " }"))
    done = run_study(path, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    assert not done.results.missing
    assert done.page.is_file()
    assert all(decision.verdict == "undecided" for decision in done.decisions.values())


def test_any_grid_has_a_page_without_the_protocol():
    cells = toy.study().cells
    made = Results(tuple(Result(c, Path("x"), {"spread": {"deviation": 0.1 * c.seed}}) for c in cells))
    sections = sections_of(made, ("spread", "deviation"), ["recipe"])
    assert [section.key for section in sections] == ["means", "figure", "differences", "cells"]
    assert set(sections[1].exhibits[0].groups) == {"learned"}
