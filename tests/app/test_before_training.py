"""What a run says, or refuses, before its first step."""

import pytest

import counterpoint as cp
from counterpoint import app
from counterpoint.errors import RecipeError

QUICK = {"source": "digits", "dry_run": True, "precision": "32-true", "channels_last": "no", "accelerator": "cpu"}


def told(capsys, recipe, **more):
    cp.train(recipe, **{"encoder": "mlp", "batch_size": 16, "epochs": 1, **QUICK, **more})
    return capsys.readouterr().err


def test_a_preset_for_other_images_says_so(capsys):
    said = told(capsys, "simclr", preset="cifar")
    assert "  note     preset cifar was published for images of 32 px, these have 8:" in said
    assert "published" not in told(capsys, "simclr")
    shown = app.describe("simclr", preset="cifar", encoder="mlp")
    assert "note: preset cifar was published for images of 32 px, these have 8:" in shown
    assert "note:" not in app.describe("simclr", encoder="mlp")


def test_a_whole_bank_counts_as_negatives(capsys):
    images = cp.sources.lookup("digits").load().train
    assert f"16 images x 1 views: {len(images) - 1:,} negatives for each anchor" in told(capsys, "instdisc")
    assert "16 images x 1 views: 32 negatives for each anchor" in told(capsys, "instdisc", negatives=32)
    assert "no negatives from the batch" in told(capsys, "byol")


def test_shuffled_keys_are_not_taken_in_chunks(capsys, tmp_path):
    with pytest.raises(RecipeError, match="chunks of 4 images would undo that"):
        told(capsys, "moco", encoder="conv", micro_batch=4, dry_run=False, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "chunks   4 of at most 4 images" in told(capsys, "moco", encoder="conv", micro_batch=4, split=1)
