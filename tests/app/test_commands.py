"""What stands behind `show`, `embed` and the estimates."""

import csv
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import counterpoint as cp
from counterpoint import app
from counterpoint.app.cost import time_to_train
from counterpoint.errors import RecipeError
from counterpoint.recipe import compose
from counterpoint.signature import recipes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("commands") / "run"
    return cp.train(
        "simclr", source="digits", encoder="mlp", out=out, epochs=1, evaluate=False, report=False, quiet=True
    )


@pytest.mark.parametrize("name", sorted(recipes()))
def test_show_names_every_part_with_its_file(name):
    said = app.describe(name)
    for stage in ("pairing", "views", "encoder", "heads", "negatives", "objective", "optim", "score", "target"):
        assert f"\n{stage}: " in said
    assert re.search(r"\nobjective: .*\[counterpoint/objectives/\w+\.py\]", said)
    assert said.splitlines()[1].startswith("source: ")


def test_show_follows_settings():
    assert "temperature=0.07" in app.describe("simclr", settings={"objective.temperature": "0.07"})
    with pytest.raises(RecipeError, match="did you mean 'objective'"):
        app.describe("simclr", settings={"objectiv.temperature": "0.07"})


@pytest.mark.parametrize("ending", ["parquet", "csv", "npy"])
def test_embed_writes_what_the_ending_says(run, ending, tmp_path):
    random = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(random.integers(0, 256, (9, 9), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    out = app.embed(run.folder, [tmp_path], tmp_path / f"z.{ending}")
    expected = cp.load(run.folder).embed(tmp_path)
    if ending == "npy":
        found = np.load(out)
    elif ending == "csv":
        with out.open() as file:
            rows = list(csv.reader(file))
        assert rows[1][0].endswith("0.png")
        found = np.array([row[1:] for row in rows[1:]], dtype=np.float32)
    else:
        table = pq.read_table(out)
        assert [name[-5:] for name in table["name"].to_pylist()] == ["0.png", "1.png", "2.png"]
        found = np.array(table["h"].to_pylist(), dtype=np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_evaluation_is_kept_out_of_the_time_to_train():
    from counterpoint import encoders, sources
    from counterpoint.app.asked import facts_of

    digits = sources.lookup("digits").load()
    recipe = compose("simclr", facts_of(digits, digits.train), encoders.lookup("mlp"))
    import time

    now = time.perf_counter()
    with_scores, without = (time_to_train(100.0, now, digits, recipe, evaluate) for evaluate in (True, False))
    assert 50 < with_scores < without <= 98
    assert time_to_train(1.0, now, digits, recipe, False) == 0
    with pytest.raises(RecipeError, match="leaves no time to train"):
        time_to_train(1.0, now, digits, recipe, True)
    assert time_to_train(None, now, digits, recipe, True) is None
