import numpy as np
import pytest
import torch
from PIL import Image

import counterpoint as cp
from counterpoint.errors import CheckpointError, RunError, ShapeError, SourceError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("serving") / "run"
    return cp.train(
        "simclr", source="digits", encoder="mlp", out=out, epochs=1, evaluate=False, report=False, quiet=True
    )


@pytest.fixture(scope="module")
def model(run):
    return cp.load(run.folder)


def test_all_ways_to_give_an_image_agree(model, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    z = model.embed(array)
    assert z.shape == (3, model.width)
    assert z.dtype == np.float32
    pictures = [Image.fromarray(a) for a in array]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    for given in (
        array[..., None],
        torch.from_numpy(array)[:, None],
        torch.from_numpy(array)[:, None] / 255,
        array.astype(np.float32) / 255,
        np.repeat(array[..., None], 3, -1),
        pictures,
        sorted(tmp_path.iterdir()),
        tmp_path,
        str(tmp_path),
    ):
        np.testing.assert_allclose(model.embed(given), z, atol=1e-5)
    np.testing.assert_allclose(model.embed(tmp_path / "1.png"), z[1:2], atol=1e-5)


def test_the_batch_size_does_not_matter(model):
    array = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    np.testing.assert_allclose(model.embed(array, batch=2), model.embed(array), atol=1e-5)


def test_it_is_the_encoder_of_the_checkpoint(run, model):
    newest = torch.load(max(run.checkpoints.glob("step-*.pt")), weights_only=True)["model"]
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, newest[f"towers.encoder.{name}"])
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert not model.encoder.training


def test_what_is_no_image_gets_one_sentence(model, tmp_path):
    with pytest.raises(ShapeError, match="expected"):
        model.embed(np.zeros((2, 2), np.uint8))
    with pytest.raises(ShapeError, match="outside"):
        model.embed(torch.full((1, 1, 8, 8), 3.0))
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"bad\.png cannot be used"):
        model.embed(tmp_path / "bad.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no image"):
        model.embed(tmp_path / "empty")
    with pytest.raises(SourceError, match="there is no"):
        model.embed(tmp_path / "missing")
    with pytest.raises(SourceError, match="at least one"):
        model.embed([])


def test_a_run_without_an_encoder_is_said_to_have_none(run, tmp_path):
    with pytest.raises(RunError, match="not a run"):
        cp.load(tmp_path)
    damaged = tmp_path / "encoder.safetensors"
    damaged.write_bytes(run.encoder.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="damaged"):
        cp.load(damaged)
