import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import counterpoint as cp
from counterpoint import encoders, sources
from counterpoint.app.asked import facts_of
from counterpoint.errors import CheckpointError, DivergenceError, RecipeError, RunError
from counterpoint.recipe import compose

HERE = Path(__file__).parent
PLAIN = {"precision": "32-true", "channels_last": "no", "accelerator": "cpu", "quiet": True}


def trained(out, name="simclr", **more):
    options = {"source": "digits", "encoder": "mlp", "evaluate": False, "report": False, **PLAIN, **more}
    return cp.train(name, out=out, **options)


def weights(run):
    newest = max(run.checkpoints.glob("step-*.pt"))
    return torch.load(newest, weights_only=True)["model"]


def test_a_run_is_a_function_of_its_seed(tmp_path):
    runs = [trained(tmp_path / name, epochs=2, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    first, again, other = map(weights, runs)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


def test_the_loss_falls_and_the_log_says_so(tmp_path):
    run = trained(tmp_path / "run", epochs=15)
    losses = [line["loss"] for line in run.history() if line["event"] == "step"]
    assert losses[-1] < losses[0] - 0.2
    end = run.history()[-1]
    assert (end["event"], end["reason"], end["epoch"]) == ("end", "finished", 15)


def test_only_the_last_checkpoints_stay(tmp_path):
    run = trained(tmp_path / "run", epochs=5, keep=2)
    assert len(list(run.checkpoints.glob("step-*.pt"))) == 2


@pytest.mark.long
def test_killed_at_random_moments_and_resumed_the_weights_are_bit_identical(tmp_path):
    script = [sys.executable, str(HERE / "kill_and_resume.py"), str(tmp_path), "20"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[0]) >= 20


def test_a_run_stopped_by_time_goes_on_to_the_same_weights(tmp_path):
    straight = trained(tmp_path / "straight", epochs=6)
    trained(tmp_path / "broken", epochs=6, max_time=0.0)
    broken = cp.Run.open(tmp_path / "broken")
    assert broken.history()[-1]["reason"] == "max-time"
    assert broken.history()[-1]["step"] < straight.history()[-1]["step"]
    trained(tmp_path / "broken", epochs=6, resume=True)
    assert all(torch.equal(v, weights(broken)[k]) for k, v in weights(straight).items())
    steps = [line["step"] for line in broken.history() if line["event"] == "step"]
    assert steps == sorted(set(steps))


def test_ctrl_c_saves_and_leaves(tmp_path):
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    # The handler is in place only while the loop runs; the timer starts with its first line of the log.
    log = tmp_path / "run" / "log.jsonl"

    def watch():
        while not log.is_file():
            stop.wait(0.01)
        timer.start()

    stop = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", epochs=2000)
    watcher.join()
    run = cp.Run.open(tmp_path / "run")
    end = run.history()[-1]
    assert end["reason"] == "interrupted"
    assert max(run.checkpoints.glob("step-*.pt")).name == f"step-{end['step']:08d}.pt"
    assert not run.encoder.exists()


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path):
    with pytest.raises(DivergenceError, match=r"checkpoint of step 5 stands.*lower learning rate"):
        trained(tmp_path / "run", epochs=4, settings={"objective": f"{HERE / 'odd_parts.py'}:NanAfter(steps=8)"})
    kept = sorted(p.name for p in cp.Run.open(tmp_path / "run").checkpoints.glob("*.pt"))
    assert kept == ["step-00000000.pt", "step-00000005.pt"]


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    part = f"{HERE / 'odd_parts.py'}:NanGradient(step=10)"
    with pytest.raises(DivergenceError, match="checkpoint of step 5 stands"):
        trained(tmp_path / "run", epochs=4, keep=1, settings={"objective": part})
    newest = max(cp.Run.open(tmp_path / "run").checkpoints.glob("*.pt"))
    assert all(v.isfinite().all() for v in torch.load(newest, weights_only=True)["model"].values())


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    run = trained(tmp_path / "run", epochs=3)
    whole = weights(run)
    newest = max(run.checkpoints.glob("step-*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    (run.checkpoints / ".step-00000099.pt.1.part").write_bytes(b"half")
    trained(tmp_path / "run", epochs=3, resume=True)
    assert all(torch.equal(v, weights(run)[k]) for k, v in whole.items())
    assert not list(run.checkpoints.glob(".*"))
    for path in run.checkpoints.glob("step-*.pt"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="can be read"):
        trained(tmp_path / "run", epochs=3, resume=True)


def test_another_run_cannot_be_resumed_or_overwritten(tmp_path):
    trained(tmp_path / "run", epochs=1)
    with pytest.raises(RunError, match="already holds a run"):
        trained(tmp_path / "run", epochs=1)
    with pytest.raises(CheckpointError, match=r"temperature is 0\.5, not 0\.1"):
        trained(tmp_path / "run", temperature=0.1, resume=True)
    with pytest.raises(CheckpointError, match="recipe is 'simclr', not 'supcon'"):
        trained(tmp_path / "run", name="supcon", resume=True)
    with pytest.raises(RunError, match="no such folder"):
        trained(tmp_path / "missing", resume=True)
    for more, words in (
        ({"evaluate_every": 1}, "evaluate_every is 0, not 1"),
        ({"precision": "bf16-mixed"}, "precision is '32-true', not 'bf16-mixed'"),
        ({"seed": 3}, "seed is 0, not 3"),
        ({"encoder": "conv"}, "encoder is 'mlp', not 'conv'"),
    ):
        with pytest.raises(CheckpointError, match=words):
            trained(tmp_path / "run", resume=True, **more)


def test_a_run_whose_data_has_changed_is_not_resumed(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    trained(tmp_path / "run", source=folder, size=8, batch_size=8, epochs=1)
    for i in range(24, 48):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    with pytest.raises(CheckpointError, match=r"data of .* has changed"):
        trained(tmp_path / "run", source=folder, size=8, batch_size=8, epochs=1, resume=True)


def test_a_stored_recipe_runs_again(tmp_path):
    first = trained(tmp_path / "first", epochs=2, temperature=0.3, settings={"heads.projector.out": "32"})
    again = cp.train(
        config=first.folder / "recipe.json", out=tmp_path / "again", evaluate=False, report=False, quiet=True
    )
    assert all(torch.equal(v, weights(again)[k]) for k, v in weights(first).items())
    longer = cp.train(config=first.folder, out=tmp_path / "longer", epochs=3, evaluate=False, report=False, **PLAIN)
    parts = longer.recipe()["parts"]
    assert (parts["epochs"], parts["objective"]["temperature"], parts["heads"]["projector"]["out"]) == (3, 0.3, 32)


def test_a_warm_start_takes_the_encoder_and_nothing_else(tmp_path):
    first = trained(tmp_path / "first", epochs=3)
    warm = trained(tmp_path / "warm", encoder=None, warm_from=str(first.folder), max_time=0.0, epochs=3)
    assert warm.recipe()["parts"]["encoder"] == first.recipe()["parts"]["encoder"]
    cold = trained(tmp_path / "cold", max_time=0.0, epochs=3)
    name = "towers.encoder.1.weight" if "towers.encoder.1.weight" in weights(first) else "towers.encoder.0.weight"
    gap = [float((weights(run)[name] - weights(first)[name]).norm()) for run in (warm, cold)]
    assert gap[0] < 0.2 * gap[1]
    with pytest.raises(CheckpointError, match="give the same --encoder"):
        trained(tmp_path / "other", encoder="conv", warm_from=str(first.folder))


def test_a_warm_start_survives_resume_and_config_and_reaches_the_target(tmp_path):
    first = trained(tmp_path / "first", epochs=2)
    warm = {"encoder": None, "warm_from": str(first.folder), "epochs": 2, "seed": 5}
    straight = trained(tmp_path / "straight", **warm)
    killed = trained(tmp_path / "killed", max_time=0.0, **warm)
    for path in killed.checkpoints.glob("*.pt"):
        path.unlink()
    trained(tmp_path / "killed", encoder=None, resume=True)
    again = cp.train(config=straight.folder, out=tmp_path / "again", evaluate=False, report=False, quiet=True)
    for run in (killed, again):
        assert all(torch.equal(v, weights(run)[k]) for k, v in weights(straight).items())
    averaged = {
        "target": "counterpoint.targets:MovingAverage(momentum=1.0)",
        "negatives": "counterpoint.negatives:Queue",
    }
    run = trained(tmp_path / "averaged", settings=averaged, **warm)
    found, begun = weights(run), weights(first)
    for key in begun:
        if key.startswith("towers.encoder."):
            assert torch.equal(found[f"target.{key}"], begun[key])


def test_a_recipe_value_runs_again_with_its_own_encoder(tmp_path):
    digits = sources.lookup("digits").load()
    recipe = compose("simclr", facts_of(digits, digits.train), encoders.lookup("mlp"), {"batch_size": 128, "epochs": 1})
    run = cp.train(recipe, source="digits", out=tmp_path / "run", evaluate=False, report=False, **PLAIN)
    longer = cp.train(config=run.folder, out=tmp_path / "longer", epochs=2, evaluate=False, report=False, **PLAIN)
    assert longer.recipe()["parts"]["encoder"] == run.recipe()["parts"]["encoder"]
    assert longer.recipe()["parts"]["epochs"] == 2


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert trained(tmp_path / "run", epochs=3, dry_run=True, quiet=False) is None
    said = capsys.readouterr().err
    assert "MiB for a step" in said
    assert "510 negatives for each anchor" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"batch_size": 5000}, "only 14[0-9][0-9] to train on; give --batch-size"),
        ({"accelerator": "cuda"}, "no CUDA device"),
        ({"encoder": "mlpp"}, "did you mean 'mlp'"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
        ({"policy": "simclear"}, "did you mean 'simclr'"),
        ({"settings": {"objective.temperature": "hot"}}, "expected"),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_nothing(tmp_path, more, words):
    if more.get("accelerator") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(RecipeError, match=words) as caught:
        trained(tmp_path / "run", **more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_chosen_numerics_are_stored_and_used_again(tmp_path):
    run = trained(tmp_path / "run", epochs=1, precision="bf16-mixed")
    assert run.recipe()["engine"]["precision"] == "bf16-mixed"
    again = cp.train(config=run.folder, out=tmp_path / "again", evaluate=False, report=False, quiet=True)
    assert all(torch.equal(v, weights(again)[k]) for k, v in weights(run).items())
    auto = trained(tmp_path / "auto", epochs=1, precision="auto", channels_last="auto")
    assert len(auto.recipe()["engine"]["measured_seconds"]) == 4


def test_tensorboard_gets_the_curves(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra is not installed")
    run = trained(tmp_path / "run", epochs=2, tensorboard=True)
    assert list((run.folder / "tensorboard").glob("events*"))


def test_validation_is_followed_on_images_that_are_not_learned_from(tmp_path):
    run = trained(tmp_path / "run", epochs=2, evaluate_every=1)
    seen = [line for line in run.history() if line["event"] == "validate"]
    assert [line["epoch"] for line in seen] == [1, 2]
    assert all(0.5 < line["knn_accuracy"] <= 1 for line in seen)
    stored = run.recipe()
    assert 0.05 < stored["validation"] / stored["dataset"]["train"] < 0.2
    assert stored["dataset"]["train"] + stored["validation"] + stored["dataset"]["test"] == 1797


def test_validation_is_followed_within_an_epoch_and_changes_nothing(tmp_path):
    runs = [trained(tmp_path / str(every), epochs=2, batch_size=100, evaluate_every=every) for every in (1, 0.5)]
    whole, half = ([line for line in run.history() if line["event"] == "validate"] for run in runs)
    length = whole[0]["step"]
    assert [line["step"] for line in half] == [-(-i * length // 2) for i in (1, 2, 3, 4)]
    assert all(torch.equal(v, weights(runs[1])[k]) for k, v in weights(runs[0]).items())
