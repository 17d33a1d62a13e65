import json
from dataclasses import replace
from pathlib import Path

import pytest
import toy

from counterpoint.errors import RunError
from counterpoint.studies.claims import (
    collect,
    decide,
    markdown,
    measured,
    record,
    write_claims,
)
from counterpoint.studies.study import Decision, Result, Results

NOTHING = Results(())


def study(verdicts, name="toy"):
    claims = tuple(
        replace(toy.claim(lambda _, v=v: Decision(v, 0.51, 0.4, 0.6, 3, 0.05, "+0.1", "as it is")), key=f"claim-{i}")
        for i, v in enumerate(verdicts)
    )
    return toy.study(name=name, title=name.capitalize(), claims=claims, source="A paper, p. 1")


def kept(folder, made, scale="full", data="digits", seeds=3):
    folder.mkdir(parents=True, exist_ok=True)
    command = f"counterpoint study {made.name}"
    return record(folder, made, decide(made, NOTHING), scale=scale, data=data, seeds=seeds, command=command)


def test_every_claim_is_decided_also_where_its_rule_breaks():
    def breaks(_):
        raise KeyError("recipe")

    found = decide(toy.study(claims=(toy.claim(breaks), replace(toy.claim(toy.spreads), key="other"))), NOTHING)
    assert found["one"].verdict == "undecided"
    assert "could not be computed" in found["one"].said
    assert found["other"].said == "the spread was not measured"
    done = Results((Result(toy.cell(), Path("run"), {}),))
    assert "a mistake in it: KeyError" in decide(toy.study(claims=(toy.claim(breaks),)), done)["one"].said


def spread_of(cell, *, trained=True, answered=True, error=""):
    found = {"spread": {"deviation": 0.5 + 0.01 * cell.seed}} if answered else {}
    return Result(cell, Path("x") if trained else None, found if trained else {}, error)


@pytest.mark.parametrize("missing", [{"trained": False}, {"answered": False, "error": "spread: not asked yet"}])
def test_a_claim_of_whose_seeds_some_are_missing_is_not_decided_yet(missing):
    cells = [toy.cell(seed=seed) for seed in range(3)] + [toy.cell("supcon")]
    made = toy.study(tuple(cells), claims=(toy.claim(toy.spreads),))
    two = Results((*map(spread_of, cells[:2]), spread_of(cells[2], **missing), spread_of(cells[3])))
    found = decide(made, two)["one"]
    assert (found.verdict, found.seeds) == ("undecided", 2)
    assert found.said.startswith("so far held, while 1 of the 3 runs that it looks at lack something: the spread is")
    elsewhere = Results((*map(spread_of, cells[:3]), spread_of(cells[3], trained=False)))
    assert decide(made, elsewhere)["one"].verdict == "held"
    odd = Results((*map(spread_of, cells[:2]), spread_of(cells[2], error="another: failed"), spread_of(cells[3])))
    assert decide(made, odd)["one"].verdict == "held"


def test_a_rule_that_looks_at_all_runs_waits_for_all():
    def over_all(results):
        return Decision("held", 1.0, seeds=len({result.cell.seed for result in results}))

    cells = [toy.cell(), toy.cell("supcon")]
    made = toy.study(tuple(cells), claims=(toy.claim(over_all),))
    assert decide(made, Results(tuple(map(spread_of, cells))))["one"].verdict == "held"
    half = Results((spread_of(cells[0]), spread_of(cells[1], trained=False)))
    assert decide(made, half)["one"].verdict == "undecided"


def test_claims_of_all_studies_are_one_table(tmp_path):
    empty = replace(toy.claim(toy.spreads), key="empty")
    kept(
        tmp_path / "b-smoke", toy.study(name="b", title="B", claims=(empty,), source="A paper, p. 1"), "smoke", seeds=1
    )
    kept(tmp_path / "b", study(["held"], "b"), seeds=5)
    kept(tmp_path / "a" / "deep", study(["not held", "held"], "a"), scale="")
    kept(tmp_path / "nothing", study([], "c"))
    out = write_claims(tmp_path, tmp_path / "docs" / "claims.md")
    text = out.read_text()
    assert "4 claims: 2 held, 1 not held, 1 undecided." in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## A: digits, 3 seeds",
        "## B: digits, scale `full`, 3 of 5 seeds",
        "## B: digits, scale `smoke`, no seed",
    ]
    assert "not how far other test images would move the value" in text
    assert "`smoke`: seconds of training" in text
    row = next(line for line in text.splitlines() if line.startswith("| It spreads."))
    assert row == (
        "| It spreads. | page 1 | 0.5 (paper) | 0.51 ± 0.05 [0.4, 0.6]: the spread; +0.1 | above zero "
        "| **not held**: as it is |"
    )
    assert "`counterpoint study a`" in text


def test_a_text_cannot_break_the_table():
    made = study(["held"])
    odd = replace(made.claims[0], statement="a | b\nc")
    about = {"study": "x", "title": "X", "source": "", "scale": "", "data": "d", "seeds": 1, "command": "c"}
    decision = {"verdict": "held", "value": None, "low": None, "high": None, "spread": None, "effect": "", "said": ""}
    decision |= {"seeds": 0, "unit": "number"}
    words = ("key", "statement", "where", "published", "origin", "measured", "rule")
    claim = {word: getattr(odd, word) for word in words} | {"decision": decision}
    text = markdown([{**about, "claims": [claim]}])
    assert "| a \\| b c | page 1 |" in text


def test_what_was_measured_stands_in_its_unit():
    share = {"value": 0.934, "spread": 0.01, "low": 0.9, "high": 0.97, "unit": "share"}
    assert measured(share) == "93.4 ± 1.00 % [90.0, 97.0]"
    assert measured({**share, "value": -0.034, "low": -0.2, "unit": "points"}) == "−3.40 ± 1.00 points [−20.0, 97.0]"
    assert measured({**share, "spread": None, "low": None, "unit": "number"}) == "0.934"


def test_without_claims_it_says_so(tmp_path):
    with pytest.raises(RunError, match=r"no study below .* has decided claims"):
        collect(tmp_path)
    path = kept(tmp_path / "a", study(["held"]))
    path.write_text("{")
    with pytest.raises(RunError, match="cannot be read as claims"):
        collect(tmp_path)


def test_what_is_kept_can_be_read_again(tmp_path):
    found = json.loads(kept(tmp_path / "a", study(["held"])).read_text())
    assert found["claims"][0]["decision"] == {
        "verdict": "held", "value": 0.51, "low": 0.4, "high": 0.6, "seeds": 3, "spread": 0.05, "effect": "+0.1",
        "said": "as it is", "unit": "number",
    }  # fmt: skip
    assert (found["scale"], found["data"], found["seeds"]) == ("full", "digits", 3)
