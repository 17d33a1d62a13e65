import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t
from sklearn.linear_model import Ridge

from counterpoint.errors import RecipeError, RunError, SourceError
from counterpoint.signature import recipes
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf
from counterpoint.studies.conduct import find_study
from counterpoint.studies.held_out import HeldOut
from counterpoint.studies.league.budget import EPOCHS, TRIAL, epochs_of
from counterpoint.studies.league.choose import chosen, main
from counterpoint.studies.league.dials import trials_of
from counterpoint.studies.league.methods import entered, listed, trained_as
from counterpoint.studies.league.selection import Observed, judged, left_out, together
from counterpoint.studies.league.settings import Settings, read_settings
from counterpoint.studies.league.standing import Crossed, crossed, gap, learned
from counterpoint.studies.league_tuning import league_tuning
from counterpoint.studies.long_tailed import LongTailed
from counterpoint.studies.scores import _right, unpacked
from counterpoint.types import Dataset, Split

# ---------------------------------------------------------------- the budget


def test_all_methods_see_as_many_views() -> None:
    for views in (1, 2, 4, 8):
        assert views * epochs_of(views, EPOCHS) == 2 * EPOCHS
    for views in range(1, 20):
        assert abs(views * epochs_of(views, EPOCHS) - 2 * EPOCHS) <= views / 2
    assert epochs_of(100, EPOCHS) == 1
    assert epochs_of(2, TRIAL * EPOCHS) == EPOCHS // 2


def test_methods_are_found_and_not_listed() -> None:
    shelf = Shelf()
    entries, reasons = entered(
        Digits(),
        shelf.facts(Digits()),
        "mlp",
        methods=recipes(),
        batch=128,
        epochs=8,
        tuned={"simclr": {"temperature": 0.2}},
    )
    assert {entry.name for entry in entries} | reasons.keys() == recipes().keys()
    by = {entry.name: entry for entry in entries}
    assert {name: by[name].group for name in ("simclr", "supcon", "supervised", "triplet", "autoencoder")} == {
        "simclr": "no labels",
        "supcon": "labels",
        "supervised": "labels",
        "triplet": "labels",
        "autoencoder": "control",
    }
    assert (by["simclr"].views, by["simclr"].epochs, by["simclr"].dials) == (2, 8, {"temperature": 0.2})
    assert (by["supervised"].views, by["supervised"].epochs, by["supervised"].dials) == (1, 16, None)
    groups = [entry.group for entry in entries]
    assert groups == sorted(groups, key=["no labels", "labels", "control"].index)


def test_methods_of_patches_keep_their_smaller_batch() -> None:
    facts = Shelf().facts(Digits())
    for batch, sizes in ((512, (512, 64, 512)), (32, (32, 32, 32))):
        entries, _ = entered(Digits(), facts, "conv", methods=("simclr", "cpc", "nat"), batch=batch, epochs=8, tuned={})
        assert {entry.name: entry.batch for entry in entries} == dict(zip(("simclr", "cpc", "nat"), sizes, strict=True))


def test_what_cannot_be_composed_is_left_out_with_its_reason() -> None:
    shelf = Shelf()
    tuned = {"simclr": {"warmth": 1.0}}
    entries, reasons = entered(
        Digits(), shelf.facts(Digits()), "mlp", methods=("simclr", "supcon"), batch=128, epochs=8, tuned=tuned
    )
    assert [entry.name for entry in entries] == ["supcon"]
    assert "no dial 'warmth'" in reasons["simclr"]


def test_names_are_checked() -> None:
    assert listed("simclr, supcon,simclr") == ("simclr", "supcon")
    assert listed("") == ()
    with pytest.raises(RecipeError, match=r"there is no method 'simclear'.*simclr"):
        listed("simclear")


def test_a_run_is_asked_for_by_its_dials() -> None:
    cell = trained_as("simclr", Digits(), "mlp", batch=64, epochs=3, seed=2, dials={"lr": 0.1})
    assert cell.dials == {"batch_size": 64, "epochs": 3, "lr": 0.1}
    assert (cell.seed, cell.settings, cell.place) == (2, {}, {"method": "simclr"})


# ---------------------------------------------------------------- tuning


def test_no_method_has_more_than_six_trials() -> None:
    known = recipes()
    tried = {name: [trial.dials for trial in trials_of(signature)] for name, signature in known.items()}
    assert tried["simclr"] == [
        {"lr": lr, "temperature": temperature} for temperature in (0.5, 0.25) for lr in (0.001, 0.000333, 0.003)
    ]
    assert {dials["temperature"] for dials in tried["supcon"]} == {0.1, 0.2}
    assert [dials["lr"] for dials in tried["supervised"]] == [0.001, 0.000333, 0.003, 0.0001, 0.01]
    for name, dials in tried.items():
        assert len(dials) <= 6
        assert not dials or dials[0]["lr"] == next(d.default for d in known[name].dials if d.name == "lr")
        assert len({trial.name for trial in trials_of(known[name])}) == len(dials)


def _row(
    method: str, knn: str, lr: str, temperature: str = "", state: str = "done", encoder: str = "conv"
) -> dict[str, str]:
    fixed = {"method": method, "trial": lr, "encoder": encoder, "state": state, "kNN": knn}
    return {**fixed, "lr": lr, "temperature": temperature}


def test_the_best_trial_is_chosen_and_of_equals_the_first() -> None:
    rows = [
        *(_row("a", "0.5", "0.1", "0.2"), _row("a", "0.6", "0.3", "0.4"), _row("a", "0.6", "0.9", "0.4")),
        *(_row("b", "", "0.1", state="failed"), _row("b", "0.2", "0.3")),
        *(_row("c", "0.9", "0.1"), _row("c", "", "0.3", state="not run")),
        _row("d", "", "0.1", state="failed"),
    ]
    assert chosen(rows) == {"a": {"lr": 0.3, "temperature": 0.4}, "b": {"lr": 0.3}}


def _tuned(folder: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    command = f'counterpoint study league-tuning --source "data {folder.name}"'
    (folder / "study.json").write_text(json.dumps({"command": command}))
    with (folder / "tables" / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_settings_are_written_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.toml"
    assert read_settings(file) == Settings()
    main([str(_tuned(tmp_path / "one", [_row("a", "0.5", "0.1", "0.2"), _row("b", "0.5", "1e-05")])), str(file)])
    main([str(_tuned(tmp_path / "two", [_row("a", "0.5", "0.3")])), str(file)])
    found = read_settings(file)
    assert found.dials == {"a": {"lr": 0.3}, "b": {"lr": 1e-05}}
    assert found.data == ("data one", "data two"), "what stays was chosen by the first"
    assert found.how == " and ".join(f'`counterpoint study league-tuning --source "{name}"`' for name in found.data)
    main([str(tmp_path / "one"), str(file)])
    assert read_settings(file).data == ("data one",), "nothing of the other is left"
    main([str(_tuned(tmp_path / "two", [_row("a", "0.5", "0.3")])), str(file)])
    before = file.read_text()
    main([str(tmp_path / "two"), str(file)])
    assert file.read_text() == before
    assert found.of("conv") == found.dials
    assert found.of("mlp") == {}
    assert "1 of 1 methods chosen; 1 kept" in capsys.readouterr().out
    main([str(_tuned(tmp_path / "three", [_row("c", "0.5", "0.7", encoder="mlp")])), str(file)])
    assert read_settings(file).dials == {"c": {"lr": 0.7}}, "dials of another encoder do not stay"
    assert read_settings(file).data == ("data three",), "nor what chose them"
    assert Settings("conv", ("counterpoint study league-tuning",)).data == ()


def test_simlap_is_tuned_as_all_others_are() -> None:
    every = ("simclr", "simlap", "simlap_moco")
    study = league_tuning(source=Digits(), scale="full", methods=",".join(every))
    tried = {name: [cell for cell in study.cells if cell.place["method"] == name] for name in every}
    assert {name: len(cells) for name, cells in tried.items()} == dict.fromkeys(every, 6)
    assert len({str(cell.source) for cell in study.cells}) == 1
    epochs = {name: {int(cell.dials["epochs"]) for cell in cells} for name, cells in tried.items()}
    assert {name: len(own) for name, own in epochs.items()} == dict.fromkeys(every, 1)
    assert epochs["simlap"].pop() == 2 * epochs["simclr"].pop(), "one view of an image, twice the passes"


def test_wrong_settings_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no tuning study"):
        main([str(tmp_path)])
    with pytest.raises(RunError, match="has had all its trials"):
        main([str(_tuned(tmp_path, [_row("a", "", "0.1", state="not run")]))])
    with pytest.raises(RunError, match="expected the folder"):
        main([])
    (tmp_path / "settings.toml").write_text("[simclr]\nlr = 'high'\n")
    with pytest.raises(RunError, match="cannot be read as settings"):
        read_settings(tmp_path / "settings.toml")


class _Given:
    """A source of given data."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def load(self) -> Dataset:
        return self.dataset


def _images(count: int, groups: torch.Tensor | None = None) -> _Given:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    split = Split(images, torch.arange(count) % 2, groups=groups)
    return _Given(Dataset("given", "glyphs", split, Split(images[:3] + 200, torch.zeros(3).long()), ("a", "b")))


def test_images_are_held_out_of_the_training_set() -> None:
    source: Any = _images(100)
    found = HeldOut(source).load()
    seen, held = (set(split.images[:, 0, 0, 0].tolist()) for split in (found.train, found.test))
    assert (len(seen), len(held)) == (90, 10)
    assert seen | held == set(range(100)), "the test images take no part"
    assert torch.equal(found.train.images, HeldOut(source).load().train.images)
    assert not torch.equal(found.test.images, HeldOut(source, seed=1).load().test.images)
    assert found.train.labels is not None
    assert torch.equal(found.train.labels, found.train.images[:, 0, 0, 0].long() % 2)
    assert "held out" in found.split


def test_a_group_stays_on_one_side() -> None:
    groups = torch.arange(100) // 10
    found = HeldOut(_images(100, groups), share=0.2).load()  # pyright: ignore[reportArgumentType]
    assert found.train.groups is not None
    assert found.test.groups is not None
    assert len(found.test) == 20
    assert not set(found.train.groups.tolist()) & set(found.test.groups.tolist())


def test_what_cannot_be_held_out_is_refused() -> None:
    source: Any = _images(3)
    with pytest.raises(SourceError, match="cannot be held out"):
        HeldOut(source).load()
    with pytest.raises(SourceError, match="between 0 and 1"):
        HeldOut(source, share=1.0)


# ---------------------------------------------------------------- how sure a place is


def test_hits_are_kept_bit_by_bit() -> None:
    label, prediction, nearest = [0, 1, 2, 0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 1, 0, 0, 1, 2], [1] * 9
    kept = json.loads(json.dumps(_right({"label": label, "prediction": prediction, "nearest": nearest})))
    found = unpacked(kept, "linear_probe")
    assert found is not None
    assert found.tolist() == [1, 1, 1, 0, 1, 0, 1, 1, 1]
    nearest_found = unpacked(kept, "knn_accuracy")
    assert nearest_found is not None
    assert nearest_found.tolist() == [0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert unpacked(kept, "mrr") is None
    assert unpacked(_right(None), "linear_probe") is None


def test_one_seed_has_the_interval_of_its_test_images() -> None:
    bits = np.array([1.0, 1.0, 1.0, 0.0])
    found = crossed({3: bits})
    assert found is not None
    error = np.sqrt(0.75 * 0.25 / 4)
    assert found.mean == 0.75
    assert found.spread is None
    assert found.high == pytest.approx(0.75 + 1.959964 * error)
    bootstrapped = np.random.default_rng(0).choice(bits, (20_000, 4)).mean(1).std()
    assert error == pytest.approx(bootstrapped, rel=0.02)


def test_errors_of_seeds_and_of_images_add() -> None:
    values = {0: np.array([0.0, 1.0, 1.0, 0.0]), 1: np.array([1.0, 1.0, 1.0, 0.0]), 2: np.array([1.0, 1.0, 1.0, 1.0])}
    found = crossed(values)
    assert found is not None
    by_seed = np.var([0.5, 0.75, 1.0], ddof=1) / 3
    by_image = np.var([2 / 3, 1, 1, 1 / 3]) / 4
    whole = by_seed + by_image
    half = t.ppf(0.975, 2 * (whole / by_seed) ** 2) * np.sqrt(whole)
    assert found.mean == pytest.approx(0.75)
    assert found.spread == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half))
    assert found.p == pytest.approx(2 * t.sf(0.75 / np.sqrt(whole), 2 * (whole / by_seed) ** 2))


def test_what_is_the_same_has_no_difference() -> None:
    bits = {0: np.array([1.0, 0.0]), 1: np.array([0.0, 1.0])}
    assert gap(bits, bits) == Crossed(0.0, 0.0, 0.0, 0.0, 1.0, 2)
    assert gap(bits, {2: np.array([1.0, 0.0])}) is None
    assert gap(bits, {0: np.array([1.0])}) is None, "other test images cannot be compared one by one"
    assert crossed({}) is None


def test_learned_means_above_both_baselines() -> None:
    def held(mean: float) -> Crossed:
        return Crossed(mean, None, mean - 0.02, mean + 0.02, 0.0, 1)

    below = {"pixels": held(0.4), "untrained": held(0.5)}
    assert learned(held(0.53), below) == (True, "")
    assert learned(held(0.51), below) == (False, "untrained")
    assert learned(held(0.3), below) == (False, "pixels and untrained")
    assert learned(held(0.42), {"pixels": held(0.4)}) == (False, "pixels"), "equal is not above"
    assert learned(held(0.9), {"pixels": held(0.4), "untrained": None}) == (None, "untrained not known yet")


# ---------------------------------------------------------------- selection without labels


def _run(method: str, seed: int, accuracy: float, **worths: float) -> Observed:
    return Observed(method, seed, accuracy, worths)


def test_regret_and_correlation_by_hand() -> None:
    runs = [
        *(_run("a", 0, 0.5), _run("b", 0, 0.8), _run("c", 0, 0.7), _run("d", 0, 0.6)),
        *(_run("a", 1, 0.4), _run("b", 1, 0.7), _run("c", 1, 0.9), _run("d", 1, 0.6)),
    ]
    worths = [1.0, 3.0, 4.0, 2.0, 1.0, 3.0, 3.5, 2.0]
    found = judged("x", list(zip(runs, worths, strict=True)), runs)
    assert found is not None
    assert (found.runs, found.best) == (8, "c, seed 0")
    assert found.regret == pytest.approx(0.2)
    assert found.by_seed == pytest.approx({0: 0.1, 1: 0.0})
    assert found.over_methods is not None
    assert found.over_methods.count == 4
    assert found.over_methods.rho == pytest.approx(1.0)
    assert found.over_runs is not None
    assert found.over_runs.count == 8


def test_a_run_without_the_score_cannot_be_picked_and_is_still_lost() -> None:
    runs = [_run("a", 0, 0.5), _run("b", 0, 0.6), _run("best", 0, 0.9)]
    found = judged("x", [(runs[0], 1.0), (runs[1], 1.0)], runs)
    assert found is not None
    assert found.best == "a, seed 0", "of equals the first"
    assert found.regret == pytest.approx(0.4)
    assert found.over_runs is None
    assert judged("x", [(runs[0], 1.0)], runs) is None


def test_ridge_with_a_method_left_out_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(9, 3)) * [1, 10, 0.1], random.uniform(size=9)
    x[:, 1] = 5.0
    methods = [name for name in "abc" for _ in range(3)]
    found = left_out(x, y, methods)
    for start in (0, 3, 6):
        out = np.arange(start, start + 3)
        rest = np.setdiff1d(np.arange(9), out)
        mean, scale = x[rest].mean(0), x[rest].std(0)
        scale[1] = 1.0
        model = Ridge(alpha=1.0).fit((x[rest] - mean) / scale, y[rest])
        assert found[out] == pytest.approx(model.predict((x[out] - mean) / scale))
    changed = y.copy()
    changed[:3] += 10
    assert left_out(x, changed, methods)[:3] == pytest.approx(found[:3]), "a method has no say in its own"


def test_all_scores_together_pick_what_they_foretell() -> None:
    runs = [_run(m, s, 0.1 * i + 0.01 * s, one=float(i), two=-float(i)) for i, m in enumerate("abcdef") for s in (0, 1)]
    found = together("all", [*runs, _run("g", 0, 0.9, one=9.0)], ["one", "two"])
    assert found is not None
    assert found.runs == 12
    assert found.best.startswith("f")
    assert found.regret == pytest.approx(0.9 - 0.5)
    assert found.over_methods is not None
    assert found.over_methods.rho == pytest.approx(1.0)
    assert together("all", runs[:4], ["one"]) is None


def test_a_long_tail_is_asked_for_by_an_option() -> None:
    made = find_study("league", scale="smoke", options={"tail": 10, "methods": "supcon,gpaco"})
    assert made.title == "League of methods on long-tailed digits"
    assert "fall by 10 from the first to the last" in made.about[0]
    assert all(isinstance(cell.source, LongTailed) for cell in made.cells)
    with pytest.raises(SourceError, match=r"LongTailed\(ratio=0.5\)"):
        find_study("league", scale="smoke", options={"tail": 0.5})
