"""The studies that hold SimLAP against other signals on data that it was not trained on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.errors import CounterpointError
from counterpoint.evaluation import cluster_agreement
from counterpoint.recipe import part_to_json
from counterpoint.report.exhibits import Section, Table
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, keep_labels
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf, asked_for, composed, folder_of
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.league.settings import Settings
from counterpoint.studies.listing import named_studies
from counterpoint.studies.simlap.compared import Line, differences
from counterpoint.studies.simlap.durations import simlap_durations
from counterpoint.studies.simlap.pseudo_labels import ClusterLabels, simlap_pseudo_labels
from counterpoint.studies.simlap.runs import EPOCHS, GROUPS, dials_said, runs, sized
from counterpoint.studies.simlap.transfer import simlap_transfer
from counterpoint.studies.simlap.vit import simlap_vit
from counterpoint.studies.study import Cell, Result, Results, Study, Trained
from counterpoint.studies.transfer import Target
from counterpoint.studies.work import answer_of
from counterpoint.types import Dataset

SMOKE: dict[str, Any] = {"scale": "smoke", "source": Digits()}
MAKES: dict[str, Callable[..., Study]] = {
    "simlap-transfer": simlap_transfer,
    "simlap-durations": simlap_durations,
    "simlap-pseudo-labels": simlap_pseudo_labels,
    "simlap-vit": simlap_vit,
}


# ---------------------------------------------------------------- the runs that studies share


def test_what_needs_no_training_is_asked_of_the_same_runs(tmp_path: Path) -> None:
    """Of each seed the untrained encoder once, and raw pixels once, whichever study asks."""
    names = ("transfer", "durations", "pseudo-labels", "closest", "settings", "gates")
    asked: dict[str, set[Path]] = {"floor": set(), "pixels": set()}
    for name in names:
        given = {"targets": "digits=", **({"frozen": "untrained"} if name == "closest" else {})}
        study = find_study(f"simlap-{name}", source=Digits(), scale="full", seeds=(0, 1), options=given)
        for kind, paths in asked.items():
            (judge,) = (one for one in study.evaluators if one.name == kind)
            own = {answer_of(folder_of(cell, tmp_path), judge) for cell in study.cells if judge.wanted(cell)}
            assert len(own) == (2 if kind == "floor" else 1), (name, kind)
            paths |= own
    assert {kind: len(paths) for kind, paths in asked.items()} == {"floor": 2, "pixels": 1}


def test_all_methods_see_as_many_views() -> None:
    plan = sized(Digits(), scale="smoke", epochs=3, images=300)
    every = [name for own in GROUPS.values() for name in own]
    cells = runs(plan, every, (0, 7))
    assert [(cell.place["method"], cell.seed) for cell in cells] == [(name, seed) for seed in (0, 7) for name in every]
    for one in cells:
        recipe = composed(one, plan.facts)
        assert len(recipe.views.policies) * recipe.epochs == 6
        assert recipe.batch_size == plan.batch


def test_dials_places_and_settings_of_runs() -> None:
    plan = sized(Digits(), scale="smoke", images=300)
    (one,) = runs(
        plan,
        ("simlap",),
        (0,),
        place={"penalty": "0.1"},
        dials={"gate_penalty": 0.1},
        settings={"encoder.hidden": "(32,)"},
    )
    assert one.place == {"penalty": "0.1", "method": "simlap"}
    assert composed(one, plan.facts).objective.penalty == 0.1  # pyright: ignore[reportAttributeAccessIssue]
    assert one.settings["encoder.hidden"] == "(32,)"
    with pytest.raises(CounterpointError, match="simlapp"):
        runs(plan, ("simlapp",), (0,))


def test_tuned_dials_are_those_of_the_encoder() -> None:
    from counterpoint.studies.league.settings import read_settings

    tuned = read_settings()
    source = Digits()
    plan = sized(source, scale="small", encoder=tuned.encoder)
    simclr, own = runs(plan, ("simclr",), (0,)) + runs(plan, ("simclr",), (0,), dials={"temperature": 0.7})
    assert composed(simclr, plan.facts).dials["temperature"] == tuned.dials["simclr"]["temperature"]
    assert composed(own, plan.facts).dials["temperature"] == 0.7
    (other,) = runs(sized(source, scale="small", encoder="mlp"), ("simclr",), (0,))
    assert "temperature" not in other.dials, "of another encoder none was tuned"


def test_a_page_says_where_dials_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sized(Digits(), scale="small")
    assert "the recipes' own; none was tuned with the encoder `mlp`" in dials_said(replace(plan, encoder="mlp"), ("a",))
    command = "counterpoint study league-tuning --source cifar10 --root 'my data'"
    settings = Settings("conv", (command,), {"simclr": {"lr": 0.1}, "supcon": {"lr": 0.2}})
    monkeypatch.setattr("counterpoint.studies.simlap.runs.read_settings", lambda: settings)
    both = dials_said(plan, ("simclr", "simlap", "supcon"), (Target("cifar10", Digits()), Target("b", Digits())))
    assert "temperature of SimCLR, SupCon are those" in both
    assert f"held out of the training set of cifar10: `{command}`. SimLAP was not tuned" in both
    assert "cifar10 is also transferred to here" in both
    alone = dials_said(plan, ("simclr",), (Target("b", Digits()),))
    assert "not tuned" not in alone
    assert "transferred" not in alone
    (study,) = [find_study("simlap-transfer", source=Digits(), scale="small", options={"targets": "digits="})]
    assert any("SimLAP, MoCo v3" in text and "not tuned" in text for text in study.about)


def test_sizes_by_scale() -> None:
    images = len(Digits().load().train)
    for scale in ("full", "small"):
        plan = sized(Digits(), scale=scale)
        assert (plan.encoder, plan.epochs, len(plan.dataset.train)) == ("conv", EPOCHS[scale], images)
    part = sized(Digits(), scale="full", classes="3; 5;7")
    assert part.dataset.classes == ("3", "5", "7")
    assert part.facts.classes == 3
    turned = sized(Digits(), scale="full", classes=("7", "3", "5", "3"))
    assert part_to_json(turned.source) == part_to_json(part.source), "the same data, so the same runs"
    with pytest.raises(CounterpointError, match="studies of SimLAP need images"):
        sized(None, scale="small")
    with pytest.raises(CounterpointError, match="no class 'ten'"):
        sized(Digits(), scale="full", classes=("3", "ten"))
    with pytest.raises(CounterpointError, match="name it by --source"):
        sized(None, scale="smoke", classes="3;5")


def test_a_run_of_one_study_is_that_of_another() -> None:
    options: dict[str, Any] = {"source": Digits(), "scale": "full", "targets": "digits=;size=16", "seeds": (2,)}
    found = {
        name: {
            str(asked_for(cell)): cell
            for cell in MAKES[name](**options).cells
            if cell.place.get("epochs") in (None, "32")
        }
        for name in ("simlap-transfer", "simlap-durations", "simlap-pseudo-labels")
    }
    first = found["simlap-transfer"]
    assert len(first) == 6
    assert found["simlap-durations"].keys() < first.keys()
    assert len(found["simlap-durations"]) == 4
    shared = found["simlap-pseudo-labels"].keys() & first.keys()
    assert {first[key].recipe for key in shared} == {"simclr", "supcon", "simlap"}
    assert len(found["simlap-pseudo-labels"]) == 5
    transfers = {part_to_json(MAKES[name](**options).evaluators[0])["part"] for name in found}
    answers = {str(part_to_json(MAKES[name](**options).evaluators[0])) for name in found}
    assert len(transfers) == len(answers) == 1, "what one study asked, the others need not"


# ---------------------------------------------------------------- options


def test_they_are_found_by_name() -> None:
    assert set(MAKES) <= set(named_studies())
    made = find_study("simlap-durations", scale="smoke", options={"durations": "2,5,3", "targets": "digits=;size=9"})
    assert {cell.place["epochs"] for cell in made.cells} == {"2", "3", "5"}
    assert {composed(c, Shelf().facts(c.source)).epochs for c in made.cells if c.recipe == "simlap"} == {4, 6, 10}


@pytest.mark.parametrize("name", MAKES)
def test_without_data_to_transfer_to_nothing_begins(name: str) -> None:
    with pytest.raises(CounterpointError, match=f"{name} judges encoders on data.*targets="):
        MAKES[name](source=Digits(), scale="full")
    with pytest.raises(CounterpointError, match="no source 'cifar12'"):
        MAKES[name](source=Digits(), scale="full", targets="cifar12=x")


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("simlap-durations", {"durations": "long"}, "give epochs, as 8,32,96"),
        ("simlap-durations", {"durations": (0, 3)}, "whole numbers of epochs"),
        ("simlap-durations", {"durations": ".6,.9"}, "whole numbers of epochs"),
        ("simlap-durations", {"durations": None, "seeds": (0,), "classes": "x"}, "no class 'x'"),
        ("simlap-pseudo-labels", {"clusters": 1}, "give 2 up to"),
        ("simlap-pseudo-labels", {"clusters": 5000}, "number of images, 1,000"),
        ("simlap-pseudo-labels", {"clusters": "many"}, "clusters is 'many'"),
        ("simlap-vit", {"encoder": "conv"}, "'conv' is none"),
        ("simlap-vit", {"patch": 0}, "patch is 0"),
    ],
)
def test_options_are_checked(name: str, options: Mapping[str, Any], match: str) -> None:
    with pytest.raises(CounterpointError, match=match):
        MAKES[name](**{**SMOKE, **options})


def test_a_vit_of_other_patches() -> None:
    made = simlap_vit(source=Digits(16), scale="full", seeds=(0,), targets="digits=")
    for cell in made.cells:
        recipe = composed(cell, Shelf().facts(cell.source))
        assert recipe.encoder.patch == 8  # pyright: ignore[reportAttributeAccessIssue]
        assert recipe.batch_size == 128
    own = simlap_vit(source=Digits(16), scale="full", seeds=(0,), patch=4, targets="digits=")
    assert composed(own.cells[0], Shelf().facts(own.cells[0].source)).encoder.patch == 4  # pyright: ignore[reportAttributeAccessIssue]
    small = simlap_vit(source=Digits(16), scale="small", targets="digits=;most=9000")
    full, quarter = (len(s.cells[0].source.load().train) for s in (own, small))
    assert 0.2 < quarter / full < 0.26
    target = small.evaluators[0].targets[0]  # pyright: ignore[reportAttributeAccessIssue]
    assert (target.most, target.tested) == (2000, 2000)


# ---------------------------------------------------------------- what claims decide


def _results(
    study: Study, accuracy: Callable[[Cell], float], own: Callable[[Cell], float] = lambda cell: 0.5
) -> Results:
    """Made up: accuracies of a cell on all data, with a little of each seed; the floor is at .2."""

    def answer(cell: Cell) -> dict[str, Any]:
        value = accuracy(cell) + 0.001 * (cell.seed - 1)
        held = {target: {"probe": value, "knn": value} for target in (*_targets(study), "mean")}
        floor = {target: {"probe": 0.2, "knn": 0.2 + 0.0005 * cell.seed} for target in held}
        images = {target: {"train": 10, "test": 5} for target in _targets(study)}
        return {
            "transfer": {"learned": held, "images": images},
            "floor": {"untrained": floor},
            "pixels": {"pixels": floor},
            "source": {"learned": {"probe": own(cell) + 0.0001 * cell.seed, "knn": own(cell)}},
            "clusters": {"nmi": 0.4, "ari": 0.2, "used": 9, "smallest": 1, "median": 20, "largest": 60},
        }

    return Results(
        tuple(
            Result(c, Path("run"), {e.name: answer(c)[e.name] for e in study.evaluators if e.wanted(c)})
            for c in study.cells
        )
    )


def _targets(study: Study) -> tuple[str, ...]:
    return tuple(target.label for target in study.evaluators[0].targets)  # pyright: ignore[reportAttributeAccessIssue]


def _verdicts(study: Study, results: Results) -> dict[str, str]:
    return {key: found.verdict for key, found in decide(study, results).items()}


def _jitter(cell: Cell) -> float:
    """Of seeds, different for each recipe, so that differences have an interval."""
    return 0.0004 * (sum(map(ord, cell.recipe)) * (cell.seed + 1) % 7)


@pytest.fixture(scope="module", params=list(MAKES))
def made(request: pytest.FixtureRequest) -> Study:
    return MAKES[request.param](**SMOKE, seeds=(0, 1, 2), targets="digits=;size=9, arrays=x.npz")


def test_claims_hold_where_arbitrary_pairs_are_ahead(made: Study) -> None:
    def ahead(cell: Cell) -> float:
        clusters = -0.2 * isinstance(cell.source, PseudoLabelled)
        return 0.5 + 0.1 * cell.recipe.startswith("simlap") + clusters + _jitter(cell)

    found = _verdicts(made, _results(made, ahead))
    assert set(found.values()) == {"held"}, found


def test_claims_do_not_hold_where_they_are_behind(made: Study) -> None:
    def behind(cell: Cell) -> float:
        if "labels" in cell.place:
            worth = {"supcon true": 0.3, "supcon clusters": 0.4, "simlap clusters": 0.1}
            return worth.get(f"{cell.recipe} {cell.place['labels']}", 0.05) + _jitter(cell)
        return 0.4 - 0.3 * cell.recipe.startswith("simlap") + _jitter(cell)

    found = _verdicts(made, _results(made, behind))
    assert set(found.values()) == {"not held"}, found


def test_one_seed_decides_nothing(made: Study) -> None:
    one = replace(made, cells=tuple(cell for cell in made.cells if cell.seed == 0))
    found = _verdicts(one, _results(one, lambda cell: 0.5 + 0.1 * cell.recipe.startswith("simlap")))
    assert set(found.values()) == {"undecided"}


def test_as_well_is_within_a_point() -> None:
    study = simlap_transfer(**SMOKE, seeds=(0, 1, 2))
    for lost, verdict in ((0.002, "held"), (0.03, "not held"), (0.0101, "undecided")):
        results = _results(study, lambda cell, lost=lost: 0.5 - lost * (cell.recipe == "simlap") + _jitter(cell))
        assert _verdicts(study, results)["probe-as-simclr"] == verdict, lost


def test_always_is_at_the_worst_duration() -> None:
    """Ahead by far at two durations and behind at one is not ahead at every one."""
    study = simlap_durations(**SMOKE, seeds=(0, 1, 2), durations=(1, 2, 4))

    def behind_once(cell: Cell) -> float:
        gain = -0.02 if cell.place["epochs"] == "2" else 0.3
        return 0.4 + gain * (cell.recipe == "simlap") + _jitter(cell)

    found = _verdicts(study, _results(study, behind_once))
    assert found["simlap-always-knn"] == found["simlap-always-probe"] == found["simlap-at-2"] == "not held"
    assert found["simlap-at-1"] == found["simlap-at-4"] == "held"


def test_a_gain_on_own_classes_is_not_one_elsewhere() -> None:
    study = simlap_transfer(**SMOKE, seeds=(0, 1, 2))
    results = _results(
        study, lambda c: 0.5 + 0.05 * (c.recipe == "simlap") + _jitter(c), lambda c: 0.5 + 0.1 * (c.recipe == "simlap")
    )
    found = _verdicts(study, results)
    assert found["knn-above-supcon"] == "held"
    assert found["gain-is-elsewhere"] == "not held"


# ---------------------------------------------------------------- the page


def _tables(sections: list[Section]) -> dict[str, Table]:
    return {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}


def test_pages_show_what_is_there(made: Study) -> None:
    results = _results(made, lambda cell: 0.5 + _jitter(cell))
    assert {"differences", "images"} <= _tables(list(made.sections(results))).keys()
    for held in (Results(results.every[:1]), Results(tuple(Result(cell, None, {}) for cell in made.cells))):
        sections = list(made.sections(held))
        assert sections[0].exhibits, "its tables at least"


def test_differences_are_in_points_and_told_where_they_are_beyond_chance() -> None:
    study = simlap_transfer(**SMOKE, seeds=(0, 1, 2), targets="digits=;size=9, arrays=x.npz")
    ahead, even, behind = (Line(name, "", {"method": name}) for name in ("simlap", "supcon", "gpaco"))
    worth = {"simlap": 0.1, "gpaco": -0.2}
    results = _results(study, lambda cell: 0.5 + worth.get(cell.recipe, 0.0) + _jitter(cell))
    found = differences(results, [(ahead, even), (behind, even)], ("digits", "x"), ("knn",))
    assert found is not None
    (table,) = found.exhibits
    assert isinstance(table, Table)
    rows = {row[1:3]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert len(rows) == 6
    first = rows["simlap less supcon", "x"]
    assert first["mean [points]"] == pytest.approx(10, abs=0.3)
    assert first["low [points]"] < first["mean [points]"] < first["high [points]"]
    assert (first["greater in"], first["of seeds"], first["after Holm"]) == (3, 3, True)
    assert rows["gpaco less supcon", "mean"]["mean [points]"] == pytest.approx(-20, abs=0.3)
    assert found.title == "6 of 6 differences are beyond chance"
    (words,) = found.words
    assert words.startswith("Beyond chance on the mean over 2 data sets: simlap less supcon, kNN, k = 10: +")
    assert "gpaco less supcon, kNN, k = 10: −" in words
    one = Results(tuple(r for r in results.every if r.cell.seed == 0))
    alone = differences(one, [(ahead, even)], ("digits", "x"), ("knn",))
    assert alone is not None
    assert alone.title == "Differences, of one seed each"
    assert not alone.words
    assert differences(results, [(ahead, Line("none", "", {"method": "none"}))], ("digits",)) is None


def test_transfers_table_has_the_means_over_seeds() -> None:
    study = simlap_transfer(**SMOKE, seeds=(0, 1, 2), targets="digits=;size=9, arrays=x.npz")
    sections = list(study.sections(_results(study, lambda cell: 0.6 if cell.recipe == "gpaco" else 0.4)))
    table = _tables(sections)["transfer-probe"]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["GPaCo"]["mean"] == pytest.approx(0.6)
    assert rows["GPaCo"]["± x"] == pytest.approx(0.001)
    assert rows["untrained encoder"]["digits"] == pytest.approx(0.2)
    assert rows["SimLAP"]["seeds"] == 3
    assert sections[0].title == "By linear probe on other data GPaCo is best"
    lower = list(study.sections(_results(study, lambda cell: 0.1)))
    assert lower[0].title.endswith(" is best, below untrained encoder and raw pixels")


# ---------------------------------------------------------------- clusters against classes


class Learned(Trained):
    """A run of which the labels that it learned from are read."""

    recipe = train = test = model = untrained = dataset = None

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.folder, self.dataset = folder, dataset


def test_agreement_of_the_labels_that_were_learned_from(tmp_path: Path) -> None:
    data = Digits().load()
    truth = data.train.labels
    assert truth is not None
    path = Run(tmp_path).labels

    def told(labels: torch.Tensor) -> Mapping[str, Any]:
        keep_labels(path, replace(data.train, labels=labels))
        return ClusterLabels()(Learned(tmp_path, data))

    same = told((truth + 3) % 10)
    assert same["nmi"] == pytest.approx(1.0)
    assert same["ari"] == pytest.approx(1.0)
    count = truth.bincount()
    assert (same["used"], same["smallest"], same["largest"]) == (10, int(count.min()), int(count.max()))
    drawn = told(torch.randint(0, 40, (len(truth),), generator=torch.Generator().manual_seed(0)) * 2)
    assert abs(drawn["ari"]) < 0.02
    assert drawn["used"] == 40
    rows = torch.randn(len(truth), 8, generator=torch.Generator().manual_seed(1)) + 2 * torch.eye(10)[truth][:, :8]
    found = cluster_agreement(rows, truth, rows=10**6, draws=2)
    assert told(found.cluster)["nmi"] == pytest.approx(float(found.nmi.value))
