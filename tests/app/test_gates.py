"""Gates of a run by the names of its classes, similarity in a pair's subspace, and labels made by another run."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import counterpoint as cp
from counterpoint.errors import CheckpointError, RecipeError, RunError, SourceError
from counterpoint.negatives import Gates
from counterpoint.serving import PseudoLabelled, cluster_labels, kept_labels
from counterpoint.sources import Digits
from counterpoint.sphere import unit

QUIET = {"accelerator": "cpu", "precision": "32-true", "channels_last": "no", "report": False, "quiet": True}
SMALL = {"batch_size": 256, "epochs": 1, "embedding": 8, "gate_hidden": 8, "width": 12}


def trained(folder, name, **more):
    dials = SMALL if name.startswith("simlap") else {"batch_size": 256, "epochs": 1}
    given = {"source": "digits", "encoder": "mlp", "evaluate": False, "dials": dials, **QUIET}
    return cp.train(name, out=folder, **(given | more))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return trained(folder / "gated", "simlap"), trained(folder / "plain", "simclr")


@pytest.fixture(scope="module")
def images():
    return Digits().load().test.images[:2, 0].numpy()


def test_a_gate_is_asked_for_by_name_index_or_pair(runs):
    run, _ = runs
    gate = cp.gate_of(run, "3")
    assert gate.shape == (12,)
    assert ((gate > 0) & (gate < 1)).all()
    assert torch.equal(gate, cp.gate_of(run.folder, 3))
    assert torch.equal(gate, cp.gate_of(run, ("3", 3)))
    assert torch.equal(cp.gate_of(run, ("3", "5")), cp.gate_of(str(run.folder), (5, 3)))
    assert not torch.equal(gate, cp.gate_of(run, ("3", "5")))


def test_a_class_is_found_though_its_name_holds_a_comma(runs, monkeypatch):
    from counterpoint.app.gates import names_of

    newt, frog = "fire salamander, Salamandra salamandra", "bullfrog, Rana catesbeiana"
    run, stored = runs[0], runs[0].recipe()
    stored["dataset"]["classes"] = [newt, "cat", frog, "3", *"abcdef"]
    monkeypatch.setattr(type(run), "recipe", lambda self: stored)
    for given, found in (
        (newt, (newt,)),
        (f"{newt},{frog}", (newt, frog)),
        (f"{frog}, cat", (frog, "cat")),
        (f"cat,{frog}", ("cat", frog)),
        ([newt, frog], (newt, frog)),
        ("2", (frog,)),  # in digits, as the command line has it
        ("3", ("3",)),  # but a name is a name
        ("0,cat", (newt, "cat")),
        (np.int64(2), (frog,)),
    ):
        assert names_of(run, given) == found
    assert torch.equal(cp.gate_of(run, f"{newt}, {frog}"), cp.gate_of(run, (0, 2)))
    with pytest.raises(RunError, match="no class 'bullfrog'"):
        names_of(run, "cat, bullfrog")


def test_a_gate_is_the_models_in_evaluation(runs):
    from counterpoint.app.gates import model_of

    model = model_of(runs[0]).train()
    gate = cp.gate_of(runs[0], (0, 1), model=model)
    assert model.negatives.training
    assert isinstance(model.negatives, Gates)
    assert torch.equal(gate, model.eval().negatives.gate(torch.tensor([0]), torch.tensor([1]))[0])


def test_similarity_of_two_images_in_a_subspace(runs, images):
    from counterpoint.app.gates import model_of
    from counterpoint.embed import encode

    run, plain = runs
    one, other = images
    _, z = encode(model_of(run), torch.from_numpy(np.stack([one, other]))[:, None])
    for gate in (None, "4", ("4", "9")):
        g = torch.ones(12) if gate is None else cp.gate_of(run, gate)
        left, right = unit(z * g)
        assert cp.similarity(run, one, other, gate=gate) == pytest.approx(float(left @ right), abs=1e-5)
    assert cp.similarity(run, one, other) != pytest.approx(cp.similarity(run, one, other, gate="4"), abs=1e-4)
    assert cp.similarity(plain, one, one) == pytest.approx(1.0, abs=1e-5)


def test_what_has_no_gate_is_said_in_a_sentence(runs):
    run, plain = runs
    with pytest.raises(RunError, match="has learned no gates"):
        cp.gate_of(plain, 0)
    with pytest.raises(RunError, match="no class 'cat'"):
        cp.gate_of(run, ("3", "cat"))
    with pytest.raises(RunError, match="classes 0 to 9, but no class 10"):
        cp.gate_of(run, 10)


# ---------------------------------------------------------------- pseudo-labels


@pytest.mark.long
def test_a_run_gives_labels_to_train_on_and_the_source_scores(runs, tmp_path):
    run = trained(tmp_path / "run", "simlap", labels_from=runs[1].folder, clusters=17, evaluate=True)
    stored = run.recipe()
    assert stored["facts"]["classes"] == 17
    assert len(stored["dataset"]["classes"]) == 10
    scores = json.loads(run.scores.read_text())
    assert "knn" in json.dumps(scores)
    assert cp.gate_of(run, "cluster 16").shape == (12,)
    with pytest.raises(RunError, match="no class '3'"):
        cp.gate_of(run, "3")
    assert cp.evaluate(run, quiet=True).to_json() == run.scores.read_text()
    again = trained(
        tmp_path / "again", "simlap", source=None, encoder=None, dials={}, config=run.folder / "recipe.json"
    )
    losses = [[line["loss"] for line in r.history() if line["event"] == "step"] for r in (run, again)]
    assert losses[0] == losses[1]


def test_clusters_are_those_of_the_embeddings(runs):
    train = Digits().load().train
    some = train.images[:300]
    label = cluster_labels(runs[1].folder, some, 10)
    assert label.shape == (300,)
    assert set(label.tolist()) == set(range(10))
    assert torch.equal(label, cluster_labels(runs[1].folder, some, 10))
    truth = train.labels[:300]
    purity = sum(int(torch.bincount(truth[label == c]).max()) for c in range(10)) / 300
    assert purity > 0.5


def test_a_labelled_source_is_a_source(runs):
    made = PseudoLabelled(Digits(), str(runs[1].folder), 12).load()
    assert len(made.classes) == 12
    assert made.test.labels is None
    assert made.train.labels.max() == 11


def test_a_resumed_run_keeps_the_labels_that_it_was_begun_with(runs, tmp_path):
    labeller, folder = tmp_path / "labeller", tmp_path / "run"
    shutil.copytree(runs[1].folder, labeller)
    long = {**SMALL, "epochs": 2000}
    run = trained(folder, "simlap", labels_from=labeller, clusters=17, dials=long, max_time=1.0)
    train = Digits().load().train
    made = cluster_labels(labeller, train.images, 17)
    assert torch.equal(kept_labels(run.labels, train), made)
    # The other run is no longer needed, or may be another.
    shutil.rmtree(labeller)
    before = run.labels.read_bytes()
    resumed = cp.train(out=folder, resume=True, evaluate=False, max_time=1.0, **QUIET)
    assert resumed.history()[-1]["step"] > 0
    assert run.labels.read_bytes() == before
    turned = replace(train, images=train.images.flip(0))
    assert torch.equal(kept_labels(run.labels, train), made)
    with pytest.raises(CheckpointError, match="made for other images, or for these in another order"):
        kept_labels(run.labels, turned)
    run.labels.write_bytes(before[: len(before) // 2])
    with pytest.raises(CheckpointError, match=r"labels\.npz.*cannot be read"):
        cp.train(out=folder, resume=True, evaluate=False, **QUIET)


def test_a_cluster_of_one_image_is_said_by_its_name(runs, tmp_path, capfd):
    more = {"labels_from": runs[1].folder, "clusters": 300, "dry_run": True, "quiet": False}
    assert trained(tmp_path / "run", "supcon", **more) is None
    said = capfd.readouterr().err
    assert "300 classes" in said
    assert "one image only to learn cluster " in said
    trained(tmp_path / "run", "simclr", **more)
    assert "simclr trains without labels" in capfd.readouterr().err


def test_mistakes_are_said_in_a_sentence(runs, tmp_path):
    with pytest.raises(SourceError, match="give 2 or more"):
        trained(tmp_path / "z", "supcon", labels_from=runs[1].folder, clusters=0)
    with pytest.raises(RecipeError, match="also give the run"):
        trained(tmp_path / "a", "supcon", clusters=5)
    with pytest.raises(RunError, match="--labels-from takes the folder"):
        trained(tmp_path / "b", "supcon", labels_from=tmp_path / "nowhere")
    with pytest.raises(SourceError, match="from 2 up to the number"):
        cluster_labels(runs[1].folder, Digits().load().train.images[:5], 6)
    with pytest.raises(SourceError, match="give 2 or more"):
        PseudoLabelled(Digits(), "x", 1)
