"""Attributes of a run: trained, stored, asked again; and when they may not be asked."""

import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

import counterpoint as cp
from counterpoint import sources
from counterpoint.app.associate import answer, associate, readings_of
from counterpoint.errors import CheckpointError, RunError, SourceError
from counterpoint.serving import load_attributes

TOML = """
"has a closed loop" = ["0", "6", "8", "9"]
even = ["0", "2", "4", "6", "8"]
"round and even" = { all = ["has a closed loop", "even"] }
like = { examples = ["zeros"], counter = ["ones"] }
alone = { examples = ["zeros"] }
"""


@pytest.fixture(scope="module")
def digits():
    return sources.lookup("digits").load()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    out = tmp_path_factory.mktemp("associate") / "run"
    run = cp.train(
        "simclr", source="digits", encoder="mlp", out=out, epochs=3, evaluate=False, report=False, quiet=True
    )
    return run.folder


@pytest.fixture(scope="module")
def trained(fresh, digits):
    folder = fresh.parent
    for name, digit in (("zeros", 0), ("ones", 1)):
        (folder / name).mkdir()
        rows = torch.nonzero(digits.train.labels == digit)[:6, 0]
        for i in rows.tolist():
            Image.fromarray(digits.train.images[i, 0].numpy()).save(folder / name / f"{i}.png")
    (folder / "a.toml").write_text(TOML)
    found = associate(fresh, folder / "a.toml", discover=2, quiet=True)
    return fresh, found


def test_what_is_written(trained):
    folder, found = trained
    assert {"attributes.safetensors", "attributes.html", "embeddings.parquet"} <= {p.name for p in folder.iterdir()}
    assert not list(folder.glob(".*"))
    page = (folder / "attributes.html").read_text("utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for name in ("has a closed loop", "round and even", "Calibration error", "plane 1"):
        assert name in page
    about = found.about
    assert "measured on the other 176" in about["roles"]
    assert json.loads(json.dumps(about)) == about


def test_what_was_measured(trained):
    found = {one.name: one for one in readings_of(trained[1])}
    loop = found["has a closed loop"]
    assert loop.auroc.value > 0.9
    assert loop.auroc.low < loop.auroc.value <= loop.auroc.high
    assert loop.pixels is not None
    assert loop.union is not None
    assert loop.error is not None
    assert loop.rows == 176
    assert found["like"].few
    assert found["like"].why == "too few images to measure"
    label = trained[1].about["label"]
    assert label["accuracy"][0] > 0.8


def test_what_is_loaded_answers_as_what_was_trained(trained, digits):
    folder, found = trained
    loaded = load_attributes(folder)
    images = digits.test.images[:40]
    first, again = found.predict(images), loaded.predict(images)
    for one, other in zip(first, again, strict=True):
        assert one.label == other.label
        assert one.attributes == pytest.approx(other.attributes, abs=1e-5)
        assert one.sides == pytest.approx(other.sides, abs=1e-4)
        assert list(one.classes.values()) == sorted(one.classes.values(), reverse=True)
        assert 0 < sum(one.classes.values()) <= 1 + 1e-6
        assert all(0 <= p <= 1 for p in one.attributes.values())
    everything = loaded.predict(digits.test.images)
    truth = digits.test.labels
    right = sum(one.label == str(int(t)) for one, t in zip(everything, truth, strict=True)) / len(truth)
    assert right > 0.8
    loop = [one.attributes["has a closed loop"] >= 0.5 for one in everything]
    assert sum(a == (int(t) in (0, 6, 8, 9)) for a, t in zip(loop, truth, strict=True)) / len(truth) > 0.8
    like = torch.tensor([one.attributes["like"] for one in everything])
    assert float(like[truth == 0].mean()) > float(like[truth == 1].mean()) + 0.3
    alone = torch.tensor([one.attributes["alone"] for one in everything])
    assert float(alone[truth == 0].mean()) > 2 * float(alone[truth != 0].mean())


def test_arrays_and_files_agree(trained, digits, tmp_path):
    loaded = load_attributes(trained[0])
    array = digits.test.images[:3, 0].numpy()
    for i, picture in enumerate(array):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    expected = loaded.predict(array)
    for given in (torch.from_numpy(array)[:, None], [Image.fromarray(a) for a in array], tmp_path):
        for one, other in zip(loaded.predict(given), expected, strict=True):
            assert one.attributes == pytest.approx(other.attributes, abs=1e-5)
    said = answer(trained[0], [tmp_path])
    assert [name.rsplit("/", 1)[-1] for name, _ in said] == ["0.png", "1.png", "2.png"]
    assert said[0][1].attributes == pytest.approx(expected[0].attributes, abs=1e-5)


def test_planes_and_attributes_stay_while_the_others_are_made(trained, tmp_path):
    folder, found = trained
    (tmp_path / "b.toml").write_text('big = ["5", "6", "7", "8", "9"]')
    more = associate(folder, tmp_path / "b.toml", quiet=True)
    assert more.names == ("big",)
    assert more.planes == found.planes
    planes = associate(folder, discover=1, quiet=True)
    assert planes.names == ("big",)
    assert len(planes.planes) <= 1
    command = re.search(r"counterpoint associate [^<]*", (folder / "attributes.html").read_text())
    assert command
    assert "b.toml --discover 1" in command[0], "what made all of the page, not only the last step"
    again = associate(folder, folder.parent / "a.toml", discover=2, quiet=True)
    assert torch.equal(again.weight, found.weight)
    assert torch.equal(again.plane_weight, found.plane_weight)
    assert again.about["readings"] == found.about["readings"]


def test_embeddings_of_another_encoder_are_not_used(trained, digits):
    from counterpoint import embed
    from counterpoint.types import Embeddings

    folder, found = trained
    wrong = {
        name: Embeddings(torch.zeros(len(split), found.weight.shape[1]), torch.arange(len(split)))
        for name, split in (("train", digits.train), ("test", digits.test))
    }
    embed.write_embeddings(folder / "embeddings.parquet", wrong)
    again = associate(folder, discover=1, quiet=True)
    assert torch.equal(again.weight, found.weight)
    stored = embed.read_representation(folder / "embeddings.parquet")["train"]
    assert float(stored.abs().max()) > 0


def test_sentences(trained, tmp_path, digits):
    folder, _ = trained
    with pytest.raises(SourceError, match="nothing to do"):
        associate(folder)
    with pytest.raises(RunError, match="is not a run"):
        load_attributes(tmp_path)
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(SourceError, match="none of the 1 files can be used"):
        answer(folder, [tmp_path])
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("recipe.json", "encoder.safetensors"):
        (bare / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(RunError, match="has no attributes yet; train some with `counterpoint associate"):
        load_attributes(bare)
    (bare / "attributes.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        load_attributes(bare)
    (bare / "attributes.safetensors").write_bytes((folder / "attributes.safetensors").read_bytes())
    tensors = cp.load(bare)
    assert load_attributes(bare).encoder.width == tensors.width
    changed = bytearray((bare / "encoder.safetensors").read_bytes())
    changed[-1] ^= 1
    (bare / "encoder.safetensors").write_bytes(bytes(changed))
    with pytest.raises(RunError, match="has changed since its attributes were trained"):
        load_attributes(bare)
    (bare / "encoder.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has not finished"):
        associate(bare, folder.parent / "a.toml", quiet=True)


def test_images_without_labels_have_attributes_from_a_csv(tmp_path):
    """A flat folder of bright and dark pictures; the CSV says which, of most."""
    random = np.random.default_rng(0)
    lines = ["file,bright,second half"]
    (tmp_path / "images").mkdir()
    for i in range(120):
        bright = i % 2
        picture = random.integers(120, 256, (10, 10, 3)) if bright else random.integers(0, 120, (10, 10, 3))
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "images" / f"{i:03d}.png")
        lines.append(f"{i:03d}.png,{bright},{'' if i % 10 == 0 else int(i > 60)}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    run = cp.train(
        "simclr", source=tmp_path / "images", size=10, encoder="mlp", out=tmp_path / "run", epochs=1, evaluate=False,
        report=False, quiet=True,
    )  # fmt: skip
    found = associate(run, tmp_path / "a.csv", quiet=True)
    assert found.classes == ()
    bright, half = readings_of(found)
    assert bright.auroc.value > 0.95
    assert bright.fit_rows > half.fit_rows
    assert not half.readable
    (one,) = load_attributes(run.folder).predict(tmp_path / "images" / "001.png")
    assert one.label is None
    assert one.attributes["bright"] > 0.5
    assert not math.isnan(one.attributes["second half"])
    (tmp_path / "a.toml").write_text('x = ["0"]')
    with pytest.raises(SourceError, match="has no labels; give a CSV"):
        associate(run, tmp_path / "a.toml", quiet=True)
