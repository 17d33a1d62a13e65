import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoint.cli.methods import markdown
from counterpoint.errors import RunError
from counterpoint.report.charts import Axis
from counterpoint.report.drawings import draw_points
from counterpoint.report.exhibits import Points, Section, Series, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.signature import recipes
from counterpoint.sources import Digits
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.league.choose import chosen
from counterpoint.studies.league.claims import league_claims
from counterpoint.studies.league.kept import read_kept
from counterpoint.studies.league.methods import Entry, Group
from counterpoint.studies.league.sections import About, league_sections
from counterpoint.studies.study import Cell, Result, Results, Study

GROUPS: Mapping[str, Group] = {
    "simclr": "no labels",
    "debiased": "no labels",
    "supcon": "labels",
    "supervised": "labels",
    "triplet": "labels",
    "autoencoder": "control",
}
ACCURACY = {"simclr": 0.60, "debiased": 0.56, "supcon": 0.70, "supervised": 0.75, "triplet": 0.43, "autoencoder": 0.52}
PIXELS, UNTRAINED = 0.40, 0.45
SEEDS = (0, 1, 2)
IMAGES = 1000


def _packed(accuracy: float, seed: int) -> dict[str, Any]:
    hit = np.zeros(IMAGES, bool)
    hit[: round(accuracy * IMAGES) + seed] = True
    return {"images": IMAGES, "linear_probe": np.packbits(hit).tobytes().hex()}


def _found(name: str, seed: int) -> dict[str, Mapping[str, Any]]:
    accuracy = ACCURACY[name] + seed / IMAGES
    scores = {
        "linear_probe": accuracy,
        "knn_accuracy": accuracy - 0.05,
        "uniformity": -4 * accuracy,
        "view_alignment": accuracy,
        "effective_rank": 100 * accuracy,
        "rank_me": 200 * accuracy,
        "alpha_req": 2 - accuracy,
    }
    labels = {name: {"label": name.replace("_", " "), "better": "higher"} for name in scores}
    each = [0.1 + 0.2 * (GROUPS[name] == "labels")] * 4 + [0.0]
    separable = {"multi-class": 1 - accuracy, "below": 0.9, "error": each[0], "balanced error": each[0]}
    found: dict[str, Mapping[str, Any]] = {
        "scores": {"learned": scores, "measures": labels, "right": {"learned": _packed(ACCURACY[name], seed)}},
        "super-classes": {**separable, "each": each},
        "course": {"seconds": 10.0, "steps": 100, "read": 100, "healthy": True, "findings": [], "passed": []},
        "memory": {"kept": 2**20, "weights": 2**20, "states": 0, "all": 2**21},
    }
    if name == "supervised":
        found["course"] = {**found["course"], "read": 10}
    if name == "triplet":
        found["course"] = {**found["course"], "healthy": False, "findings": ["complete-collapse"]}
    if name == "autoencoder":
        base = {
            encoder: {**{m: v * a for m, v in scores.items()}, "linear_probe": a}
            for encoder, a in (("pixels", PIXELS), ("untrained", UNTRAINED))
        }
        right = {"pixels": _packed(PIXELS, 0), "untrained": _packed(UNTRAINED, 0)}
        found["baselines"] = {**base, "measures": labels, "right": right}
        found["super-classes"] = {**found["super-classes"], "untrained": separable | {"balanced error": 0.25}}
    return found


def _entries() -> tuple[Entry, ...]:
    known = recipes()
    return tuple(
        Entry(known[name], group, 2, 512, 16, {"lr": 0.1} if name == "simclr" else None)
        for name, group in GROUPS.items()
    )


def _results(seeds: tuple[int, ...] = SEEDS, broken: str = "") -> Results:
    every: list[Result] = []
    for seed in seeds:
        for name, group in GROUPS.items():
            cell = Cell({"method": name, "group": group}, name, Digits(), "mlp", seed)
            if name == broken:
                every.append(Result(cell, None, {}, "the loss is not finite at step 7", failed=True))
            else:
                every.append(Result(cell, Path(f"{name}-{seed}"), _found(name, seed), seconds=10.0))
    return Results(tuple(every))


def _about(entries: tuple[Entry, ...]) -> About:
    return About(entries, "autoencoder", {"selfie": "it needs patches"}, 25_000, "")


def _tables(results: Results) -> dict[str, Table]:
    sections = league_sections(results, _about(_entries()))
    return {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}


def test_the_ranking_says_who_learned_and_who_failed() -> None:
    table = _tables(_results())["ranking"]
    titles = {entry.name: entry.signature.title for entry in _entries()}
    order = ["simclr", "debiased", "supervised", "supcon", "triplet", "autoencoder"]
    assert [row[1] for row in table.rows[:6]] == [titles[name] for name in order], "those with labels stand apart"
    rows = {row[1]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert [row["rank"] for row in rows.values()] == [1, 2, 1, 2, 3, 1, None, None]
    assert rows[titles["simclr"]]["learned?"] == "learned"
    assert rows[titles["simclr"]]["accuracy"] == pytest.approx(0.601)
    assert rows[titles["simclr"]]["dials"] == "tuned"
    assert rows[titles["triplet"]]["learned?"] == "failed: not above the untrained encoder"
    assert rows[titles["triplet"]]["doctor"] == "complete-collapse"
    assert rows[titles["supcon"]]["doctor"] == "healthy"
    assert rows[titles["supervised"]]["doctor"] == "healthy to step 10 of 100"
    assert rows["raw pixels"]["accuracy"] == pytest.approx(PIXELS)


def test_a_method_that_cannot_be_trained_has_a_row_that_says_so() -> None:
    table = _tables(_results(broken="supcon"))["ranking"]
    (row,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows if row[1] == "SupCon")
    assert row["rank"] is None
    assert row["learned?"] == "no score: the loss is not finite at step 7"
    titled = league_sections(_results(broken="supcon"), _about(_entries()))[0]
    assert any("Without any score: SupCon" in words for words in titled.words)


def test_neighbours_are_compared_in_pairs() -> None:
    table = _tables(_results())["differences"]
    assert [row[1] for row in table.rows] == pytest.approx([4.0, 5.0, 27.0]), "within groups only"
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert first["after Holm"] is True
    assert "differ beyond chance" in league_sections(_results(), _about(_entries()))[2].title


def test_selection_without_labels_leaves_out_who_needs_them() -> None:
    tables = _tables(_results())
    rows = {
        row[0]: dict(zip(tables["selection-all-runs"].columns, row, strict=True))
        for row in tables["selection-all-runs"].rows
    }
    assert rows["uniformity of h, lower"]["rho, runs"] == pytest.approx(1.0)
    assert rows["uniformity of h, lower"]["picks"] == "supervised, seed 2"
    assert rows["uniformity of h, lower"]["regret [points]"] == 0
    assert rows["view alignment of h, lower"]["picks"] == "triplet, seed 0"
    assert rows["view alignment of h, lower"]["regret [points]"] == pytest.approx(75.2 - 43)
    apart = tables["selection-methods-without-labels"]
    assert {row[1] for row in apart.rows} == {6}
    assert all("simclr" in str(row[6]) or "debiased" in str(row[6]) for row in apart.rows)


def test_every_section_copes_with_what_is_missing(tmp_path: Path) -> None:
    entries = _entries()
    everything = _results((0,)).every
    for part in (everything, everything[:1], everything[5:], ()):
        sections = league_sections(Results(part), _about(entries))
        assert sections[0].key == "ranking"
        write_tables(tmp_path, sections)
    unscored = [Result(r.cell, r.folder, {"course": r.found["course"]}) for r in everything]
    assert league_sections(Results(tuple(unscored)), _about(entries))
    assert _tables(_results((0,)))["ranking"].rows[0][4] is None, "one seed has no spread"


def test_a_share_that_all_reach_decides_nothing() -> None:
    full = tuple(
        replace(r, found={**r.found, "super-classes": {**r.found["super-classes"], "below": 1.0}}) for r in _results()
    )
    made = Study("league", "League", (), "", (), (), league_claims(_entries(), "autoencoder"), lambda results: ())
    decided = decide(made, Results(full))["separable-labels-below"]
    assert decided.verdict == "undecided"
    assert decided.value == 0
    assert "no difference can show" in decided.said


def test_claims_are_decided_by_their_rules(tmp_path: Path) -> None:
    results, entries = _results(), _entries()
    made = Study("league", "League", (), "", (), (), league_claims(entries, "autoencoder"), lambda results: ())
    found = decide(made, results)
    verdicts = {key: decision.verdict for key, decision in found.items()}
    assert verdicts["learned-no-labels"] == "held"
    assert verdicts["learned-labels"] == "not held"
    assert "failed: Triplet" in found["learned-labels"].said
    assert verdicts["separable-labels-balanced-error"] == "held", "those with labels err more"
    assert verdicts["separable-control-balanced-error"] == "not held", "the autoencoder is as good"
    assert verdicts["separable-untrained-balanced-error"] == "held"
    assert verdicts["separable-labels-below"] == "not held", "equal, and it might have been otherwise"
    assert verdicts["picks-uniformity"] == "held"
    assert verdicts["picks-view-alignment"] == "not held"
    assert verdicts["ranks-uniformity"] == "undecided", "two methods without labels are too few"
    assert set(found) == {claim.key for claim in made.claims}
    page = write_study(
        tmp_path / "index.html", made, results, found, command="x", facts={}, sections=_sections(results, entries)
    )
    text = page.read_text("utf-8")
    assert "failed: not above the untrained encoder" in text
    assert "it needs patches" in text


def _sections(results: Results, entries: tuple[Entry, ...]) -> list[Section]:
    return league_sections(results, _about(entries))


def test_the_page_of_methods_reads_what_was_kept(tmp_path: Path) -> None:
    results, entries = _results(), _entries()
    write_tables(tmp_path / "league-noise", _sections(results, entries))
    (tmp_path / "league-noise" / "study.json").write_text(
        json.dumps({"study": "league", "data": "noise", "command": "counterpoint study league"}), "utf-8"
    )
    kept = read_kept(tmp_path / "league-noise")
    first = kept.places[0]
    assert (first.recipe, first.group, first.rank, first.seeds) == ("simclr", "no labels", 1, 3)
    assert first.learned == "learned"
    assert first.linear == pytest.approx(ACCURACY["simclr"] + 1 / IMAGES), "the mean of three seeds"
    assert {name for name, _ in kept.baselines} == {"raw pixels", "the untrained encoder"}
    page = markdown(recipes().values(), [kept])
    assert "## Measured on noise" in page
    assert "| [`simclr`](#simclr) | no labels | 1 | " in page
    with pytest.raises(RunError, match="holds no league"):
        read_kept(tmp_path)


def test_without_baselines_nobody_is_said_to_have_learned() -> None:
    results = Results(tuple(r for r in _results().every if r.cell.recipe != "autoencoder"))
    made = Study("league", "League", (), "", (), (), league_claims(_entries()[:5], "autoencoder"), lambda results: ())
    assert decide(made, results)["learned-no-labels"].verdict == "undecided"
    assert "not known yet" in str(_tables(results)["ranking"].rows[0][7])


def test_points_are_shaded_by_their_value() -> None:
    series = Series("all", (0.0, 1.0, 2.0), (0.0, 1.0, 0.5), ("p", "q", "r"), (0.2, 0.8, float("nan")))
    shown = Points("m", "", (series,), Axis("x"), Axis("y"), Axis("accuracy", percent=True))
    drawing = draw_points(shown)
    assert drawing is not None
    assert 'style="fill-opacity:0.125"' in drawing.svg
    assert 'style="fill-opacity:1"' in drawing.svg
    assert drawing.svg.count("fill-opacity") == 2, "a point without a value is an outline"
    assert drawing.svg.count('<path class="mark-shape hollow" data-series="0"') == 1
    assert "accuracy: 20" in drawing.unit
    assert [tip.count("%") for tip in drawing.tips["points"][0]] == [1, 1, 0]
    plain = draw_points(Points("m", "", (series,), Axis("x"), Axis("y")))
    assert plain is not None
    assert "hollow" not in plain.svg


# ---------------------------------------------------------------- as it is run


@pytest.mark.slow
def test_the_league_runs_from_training_to_its_page(tmp_path: Path) -> None:
    options = {"methods": "simclr,supervised,autoencoder", "images": 200}
    done = run_study(
        "league", scale="smoke", options=options, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True
    )
    assert not done.results.missing
    found = {result.cell.recipe: result for result in done.results}
    assert {r.cell.dials["epochs"] for r in found.values() if r.cell.recipe == "supervised"} == {2}
    assert set(found["autoencoder"].found) == {"scores", "baselines", "super-classes", "course", "memory"}
    assert set(found["simclr"].found) == {"scores", "super-classes", "course", "memory"}
    for result in found.values():
        assert result.number("scores", "learned", "view_alignment") is not None
        assert (result.number("memory", "kept") or 0) > 0
    assert found["autoencoder"].number("baselines", "pixels", "view_alignment") is not None
    assert found["autoencoder"].number("super-classes", "untrained", "error") is not None
    page = done.page.read_text("utf-8")
    assert "Linear probe accuracy" in page
    assert (tmp_path / "out" / "tables" / "ranking.csv").is_file()


def test_tuning_runs_from_trials_to_settings(tmp_path: Path) -> None:
    import csv

    options = {"methods": "simclr", "images": 200}
    done = run_study(
        "league-tuning", scale="smoke", options=options, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True
    )
    assert not done.results.missing
    assert len(done.results.every) == 6
    with (tmp_path / "out" / "tables" / "trials.csv").open(newline="") as file:
        best = chosen(list(csv.DictReader(file)))
    assert set(best["simclr"]) == {"lr", "temperature"}


def test_both_are_listed_and_take_their_options() -> None:
    from counterpoint.errors import CounterpointError
    from counterpoint.studies.listing import named_studies

    assert {"league", "league-tuning"} <= named_studies().keys()
    made = find_study("league", scale="smoke", seeds=2, options={"methods": "simclr", "epochs": 3})
    assert [(cell.recipe, cell.seed, cell.dials["epochs"]) for cell in made.cells] == [
        ("simclr", 0, 3),
        ("simclr", 1, 3),
    ]
    without = find_study("league", scale="smoke", options={"methods": "simclr,supcon", "without": "simclr"})
    assert {cell.recipe for cell in without.cells} == {"supcon"}
    with pytest.raises(CounterpointError, match="needs images with labels"):
        find_study("league")
    with pytest.raises(CounterpointError, match="no method can take part"):
        find_study("league", scale="smoke", options={"methods": "simclr", "without": "simclr"})
