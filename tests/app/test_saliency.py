"""Saliency of a run in Python: pairs, gates, probes, pictures."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import counterpoint as cp
from counterpoint import app, sources
from counterpoint.app.saliency import Looker, _frames, _listed, crops_of
from counterpoint.errors import RecipeError, RunError, ShapeError, SourceError
from counterpoint.evaluation.saliency import placed
from counterpoint.random import Stream
from counterpoint.serving import Associator, save_attributes
from counterpoint.views import Brightness, Chain, HFlip, ResizedCrop


@pytest.fixture(scope="module")
def digits():
    return sources.lookup("digits").load()


def trained(tmp_path_factory, recipe, encoder):
    out = tmp_path_factory.mktemp("saliency") / recipe
    options = {"epochs": 2, "evaluate": False, "report": False, "quiet": True}
    return cp.train(recipe, source="digits", encoder=encoder, out=out, **options).folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "supcon", "conv")


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    return trained(tmp_path_factory, "simlap", "conv")


def test_files_positions_and_arrays_are_one(run, digits, tmp_path):
    images = digits.test.images[:4]
    for i, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{i}.png")
    found = cp.saliency(run, [0, 2], [1, 3], crops=3)
    for first, second in (
        ([tmp_path / "0.png", tmp_path / "2.png"], [str(tmp_path / "1.png"), 3]),
        (images[::2], images[1::2]),
        (images[::2, 0].numpy(), [Image.fromarray(images[i, 0].numpy()) for i in (1, 3)]),
    ):
        same = cp.saliency(run, first, second, crops=3)
        assert torch.equal(same.first, found.first)
        torch.testing.assert_close(same.second_map, found.second_map)
    assert found.first.shape == (2, 1, 8, 8)
    assert found.first_map.shape == found.second_map.shape == (2, 8, 8)
    largest = [maps.amax((1, 2)) for maps in (found.first_map, found.second_map)]
    assert torch.maximum(*largest).tolist() == [1.0, 1.0]  # of both, so that one that says little looks so
    assert min(map(min, largest)) < 1
    assert min(found.first_map.min(), found.second_map.min()) >= 0
    assert (found.of, found.feature) == ("similarity", "h")
    assert found.grid == (4, 4)


def test_positions_may_be_those_of_arrays(run, digits):
    order = np.argsort([4, 1, 0, 3])  # 2, 1, 3, 0
    found = cp.saliency(run, order, list(order), crops=1)
    assert torch.equal(found.first, digits.test.images[[2, 1, 3, 0]])
    assert torch.equal(found.second, found.first)
    assert torch.equal(cp.saliency(run, torch.from_numpy(order), order, crops=1).first, found.first)


def test_the_value_is_the_cosine_of_the_embeddings(run, digits):
    found = cp.saliency(run, [0, 2, 5], [1, 3, 6], crops=2)
    h = torch.from_numpy(cp.load(run).embed(digits.test.images[[0, 2, 5, 1, 3, 6]]))
    torch.testing.assert_close(found.value, functional.cosine_similarity(h[:3], h[3:]), rtol=1e-4, atol=1e-5)
    z = cp.saliency(run, 0, 1, feature="z", crops=2)
    assert float(z.value) == pytest.approx(cp.similarity(run, *digits.test.images[:2, 0].numpy()), abs=1e-4)


def test_a_pair_does_not_depend_on_its_company(run):
    together = cp.saliency(run, [0, 2, 4], [1, 3, 5], crops=4)
    alone = cp.saliency(run, 2, 3, crops=4)
    torch.testing.assert_close(alone.second_map[0], together.second_map[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(alone.first_map[0], together.first_map[1], rtol=1e-3, atol=1e-4)
    other = cp.saliency(run, 2, 3, crops=4, seed=1)
    assert not torch.allclose(other.score, alone.score)


def test_detached_the_first_image_has_no_map(run):
    found = cp.saliency(run, 0, 1, detach=True, crops=4)
    assert found.first_map is None
    both = cp.saliency(run, 0, 1, crops=4)
    torch.testing.assert_close(found.score, both.score)
    assert not torch.allclose(found.second_map, both.second_map)
    assert found.second_map.amax() == 1


def test_passes_of_a_few_images_are_passes_of_all(run, monkeypatch):
    for detach in (False, True):
        found = cp.saliency(run, [0, 2, 4], [1, 3, 5], crops=3, detach=detach)
        with monkeypatch.context() as small:
            small.setattr(sys.modules["counterpoint.app.saliency"], "ROWS", 3)  # less than a pair
            parts = cp.saliency(run, [0, 2, 4], [1, 3, 5], crops=3, detach=detach)
        torch.testing.assert_close(parts.second_map, found.second_map, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(parts.score, found.score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("flips", [(), (HFlip(1.0),), (HFlip(0.5),)])
def test_crops_are_put_back_where_they_were_cut(flips):
    """Pictures whose brightness is a place: their crops, put back as maps, are these pictures again."""
    side, crops = 24, 40
    ramp = ((torch.arange(side) + 0.5) / side).expand(1, 1, side, side)
    for picture in (ramp, ramp.mT):
        chain = Chain((ResizedCrop(side, (0.5, 1.0)), *flips, Brightness((1.0,))))
        drawn = chain.draw(picture.expand(crops, -1, -1, -1), Stream(0))
        views = chain.apply(picture.expand(crops, -1, -1, -1).contiguous(), drawn)
        back = placed(views.transpose(0, 1), _frames(drawn, side)[None], (side, side))
        seen = back > 0
        assert seen.float().mean() > 0.99
        assert (back - picture[:, 0])[seen].abs().max() < 0.02


def test_digits_are_not_mirrored(run):
    def flips(kind):
        return tuple(op for op in crops_of(8, kind).ops if isinstance(op, HFlip))

    assert flips(Looker(cp.Run.open(run)).loaded.facts.kind) == ()
    assert flips("photos") == (HFlip(),)


def test_gates_of_a_run_and_of_ones_own(gated):
    forms = ("3, 8", ["3", 8], (3, np.int64(8)), ("3", "8"))
    for gate, of in ((3, "3"), ("3", "3"), (np.int64(3), "3"), *((form, "3 and 8") for form in forms)):
        found = cp.saliency(gated, [0, 2], [1, 3], gate=gate, crops=3)
        assert (found.of, found.feature) == (f"similarity under {of}", "z")
    own = cp.saliency(gated, [0, 2], [1, 3], gate=cp.gate_of(gated, ("3", "8")), crops=3)
    torch.testing.assert_close(own.second_map, found.second_map)
    torch.testing.assert_close(own.value, found.value)
    digit = [sources.lookup("digits").load().test.images[i, 0].numpy() for i in (0, 1)]
    assert float(found.value[0]) == pytest.approx(cp.similarity(gated, *digit, gate=("3", "8")), abs=1e-4)
    ones = cp.saliency(gated, 0, 1, gate=torch.ones(len(cp.gate_of(gated, 3))), crops=3)
    none = cp.saliency(gated, 0, 1, feature="z", crops=3)
    torch.testing.assert_close(ones.second_map, none.second_map)


def test_names_that_a_probe_lists_may_hold_commas():
    known = ("cat", "bullfrog, Rana catesbeiana", "Rana catesbeiana", "fire salamander, Salamandra, urodele")
    assert _listed("bullfrog, Rana catesbeiana", known) == [known[1]]
    text = "cat,fire salamander, Salamandra, urodele , bullfrog, Rana catesbeiana,Rana catesbeiana, dog"
    assert _listed(text, known) == [known[0], known[3], known[1], known[2], "dog"]
    assert _listed("0, 6,8", ("0", "6", "8")) == ["0", "6", "8"]


def test_a_probe_of_classes_and_of_an_attribute(run, digits):
    images = digits.test.images[:200]
    labels = digits.test.labels[:200]
    loop = torch.isin(labels, torch.tensor([0, 6, 8, 9]))
    found = cp.saliency(run, images, probe="0, 6,8, 9")
    assert found.of == 'logit of "0, 6,8, 9"'
    assert found.second is found.second_map is None
    assert ((found.value > 0) == loop).float().mean() > 0.8
    strong = found.first_map[found.value > 1]
    assert strong.amax((1, 2)).min() == 1  # who says yes says where
    encoder, none = cp.load(run), torch.zeros(0, 512)
    weight = torch.randn(2, 512, generator=torch.Generator().manual_seed(0))
    parts = {"classes": (), "class_weight": none, "class_bias": none[:, 0], "planes": (), "plane_weight": none}
    heads = Associator(
        encoder,
        ("slanted", "has a closed loop"),
        weight,
        torch.tensor([1.0, 2.0]),
        plane_bias=none[:, 0],
        about={},
        **parts,
    )
    try:
        path = save_attributes(run, heads)
        read = cp.saliency(run, images[:5], probe="has a closed loop")
    finally:
        path.unlink()
    h = torch.from_numpy(encoder.embed(images[:5]))
    torch.testing.assert_close(read.value, h @ weight[1] + 2, rtol=1e-4, atol=1e-4)


def test_mistakes_are_one_sentence(run, gated, tmp_path_factory):
    plain = trained(tmp_path_factory, "simclr", "mlp")
    bare = trained(tmp_path_factory, "supervised", "conv")
    mistakes = [
        (RecipeError, "no map to look at", {"run": plain, "first": 0, "second": 1}),
        (RunError, "has learned no gates", {"run": run, "first": 0, "second": 1, "gate": "3"}),
        (RunError, "has no class 'x'", {"run": gated, "first": 0, "second": 1, "gate": ("3", "x")}),
        (RunError, "a gate of 3 classes", {"run": gated, "first": 0, "second": 1, "gate": ("3", "4", "5")}),
        (RecipeError, "no projector", {"run": bare, "first": 0, "second": 1, "feature": "z"}),
        (ShapeError, r"has shape \[2, 512\]", {"run": run, "first": 0, "second": 1, "gate": torch.ones(2, 512)}),
        (RecipeError, "take 1 to 512", {"run": run, "first": 0, "second": 1, "crops": 513}),
        (ShapeError, "the gate has 3 numbers", {"run": run, "first": 0, "second": 1, "gate": torch.ones(3)}),
        (SourceError, "no test image 100000", {"run": run, "first": 0, "second": 100_000}),
        (SourceError, "as many of both", {"run": run, "first": [0, 1], "second": 2}),
        (RecipeError, "not both", {"run": run, "first": 0}),
        (RecipeError, "not both", {"run": run, "first": 0, "second": 1, "probe": "3"}),
        (RecipeError, "reads h without a gate", {"run": run, "first": 0, "probe": "3", "gate": 3}),
        (RecipeError, "'x' is not known", {"run": run, "first": 0, "second": 1, "feature": "x"}),
        (RecipeError, "take 1 to 512", {"run": run, "first": 0, "second": 1, "crops": 0}),
        (RunError, "no attribute or class 'ten'", {"run": run, "first": 0, "probe": "ten"}),
        (RunError, "every class is among", {"run": run, "first": 0, "probe": ",".join("0123456789")}),
        (RunError, "is not a run", {"run": "nowhere", "first": 0, "second": 1}),
    ]
    for error, said, given in mistakes:
        with pytest.raises(error, match=said) as raised:
            cp.saliency(**given)
        assert "\n" not in str(raised.value)


def test_a_panel_shows_the_images_and_their_maps(run, gated, digits, tmp_path):
    (seen,) = app.write_saliency(run, ["0", "1", "2", "3"], tmp_path / "new" / "a.png", crops=2)
    with Image.open(tmp_path / "new" / "a.png") as image:
        panel = np.asarray(image)
    assert panel.shape == (16 + 2 * (16 + 128 + 6), 6 + 6 * (128 + 6), 3)
    original = digits.test.images[0, 0].numpy().repeat(16, 0).repeat(16, 1)
    assert np.array_equal(panel[32:160, 6:134, 0], original)
    assert not np.array_equal(panel[32:160, 140:268, 0], panel[32:160, 140:268, 2])  # the map is in colour
    assert seen.value.shape == (2,)
    seen = app.write_saliency(gated, ["0", "1"], tmp_path / "g.png", gates=["3", ("3", "8")], crops=2, detach=True)
    assert [one.of for one in seen] == ["similarity", "similarity under 3", "similarity under 3 and 8"]
    assert {one.feature for one in seen} == {"z"}
    with Image.open(tmp_path / "g.png") as image:
        assert image.size == (6 + 4 * 134, 16 + 3 * 150)


def test_a_page_holds_the_numbers_and_how_to_make_it_again(run, tmp_path):
    seen = app.write_saliency(run, ["0", "1"], tmp_path / "a.html", crops=2)
    page = (tmp_path / "a.html").read_text("utf-8")
    for said in ("test image 0, test image 1", "saliency", "--crops 2", "data:image/", "4 x 4", "through both images"):
        assert said in page
    assert f"{float(seen[0].value):.3f}" in page
