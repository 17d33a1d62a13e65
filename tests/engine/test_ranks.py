"""Two processes end with the loss and the weights of one."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from counterpoint.signature import recipes

# One worker starts the ranks for all tests of the file.
pytestmark = pytest.mark.xdist_group("ranks")

STATEFUL = f"{Path(__file__).parent / 'stateful.py'}:stateful"
# With what it is given beside the size of its batch.
MINED = {f"triplet {how}": {"mining": how} for how in ("hard", "semi-hard", "distance-weighted")}
RECIPES = [*sorted(recipes()), STATEFUL, *MINED]
STEPS = 3
# What waits for a later epoch, for a queue to be full or for another form of the method: an epoch is one step.
LATER = {
    "swav with a queue": {"prototypes": 8, "queue": 64, "queue_from": 1.0},
    "swav with a queue that no batch divides": {"prototypes": 8, "queue": 33, "queue_from": 0.0},
    "dino with another head": {"prototypes": 8, "hidden": 16, "bottleneck": 8, "target_warmup": 2.0},
    "instdisc nce": {"negatives": 24, "temperature": 0.07, "proximal": 3.0},
    "pirl nce": {"negatives": 24, "form": "nce"},
    "pirl rotation": {"negatives": 0, "pretext": "rotation"},
    "moco symmetric": {"queue": 48, "symmetric": True, "split": 4},
    "moco with one group": {"queue": 20, "split": 1, "hidden": 0},
    "mochi from epoch 2": {"queue": 40, "hardest": 8, "mixed": 4, "with_query": 4, "start": 2.0, "split": 4},
    "paco long-tailed": {"queue": 24, "long_tailed": True},
    "gpaco long-tailed": {"queue": 100, "long_tailed": True},
    "nat that rarely trades": {"every": 2, "views": 2},
    "pal that asks for the nearest": {"ask": "nearest"},
    "pal by captcha": {"ask": "captcha"},
    "cpc two rows down": {"nearest": 2},
    "selfie of nine": {"grid": 3, "masked": 3},
    "pairwise without labels": {"other_class": False},
    "simlap with a price on gates": {"gate_penalty": 0.1, "penalty": "binary", "pairs": 0.4},
    "simlap by its algorithm": {"form": "algorithm"},
    "simlap_moco with a price on gates": {"gate_penalty": 0.1, "own": 0.3},
}
EPOCHS = 5


def work(name, comm, encoder="conv", micro_batch=None, epochs=EPOCHS):
    """A few steps of a recipe on this rank's share of seeded noise; the losses and the weights."""
    from counterpoint.encoders import lookup
    from counterpoint.engine import Numerics, batches, train_step
    from counterpoint.model import Model
    from counterpoint.optim import SGD
    from counterpoint.random import Streams, forked
    from counterpoint.recipe import compose
    from counterpoint.types import Clock, Context, Facts, Split

    steps, epochs = (1, epochs) if name in LATER else (STEPS, 1)
    count = 32 * steps
    facts = Facts("noise", "glyphs", 1, 8, count, 10, total_steps=steps * epochs, steps_per_epoch=steps)
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=noise)
    split = Split(images, torch.arange(count) % 10)
    dials = {"batch_size": 32, "epochs": epochs, **MINED.get(name, {}), **LATER.get(name, {})}
    recipe = compose(name.split(" ")[0], facts, lookup(encoder), dials)
    if name == STATEFUL:  # its dropout differs by rank
        recipe = replace(recipe, encoder=lookup(encoder))
    # Adam would divide gradients that are zero but for rounding by their size.
    recipe = replace(recipe, optim=SGD(lr=0.05, momentum=0.9))
    with forked(0):
        model = Model(recipe, facts)
    # In float64, so that nothing hides behind rounding.
    model = comm.synchronised(model).double().train()
    optimizer = recipe.optim.build(model)
    streams = Streams(0, "cpu", comm.rank, comm.world)
    losses = []
    clocks = [Clock(step, steps * epochs, steps) for step in range(steps * epochs)]
    shares = chain.from_iterable(batches(split, recipe, streams, at, torch.device("cpu")) for at in clocks[::steps])
    for clock, batch in zip(clocks, shares, strict=True):
        recipe.optim.set_lr(optimizer, clock)
        done = train_step(recipe, model, optimizer, batch, Context(clock, comm, streams), Numerics(), micro_batch)
        losses.append(float(comm.sum(done.values["loss"]) / comm.world))
    return losses, {k: v.clone() for k, v in model.state_dict().items()}


def rank(number, file, out):
    from counterpoint.distributed import Comm

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=number, world_size=2)
    found = {name: work(name, Comm.current()) for name in RECIPES}
    found |= {name: work(name, Comm.current(), "mlp") for name in LATER}
    found["chunks"] = work("simclr", Comm.current(), "mlp", 5)
    if number == 0:
        torch.save(found, out)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(rank, (str(folder / "meet"), str(folder / "found.pt")), nprocs=2, start_method="spawn")
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES, ids=lambda name: name.split(":")[-1])
def test_two_processes_train_as_one(name, two):
    from counterpoint.distributed import Comm

    same(two[name], work(name, Comm.alone()))


def same(two, one):
    assert two[0] == pytest.approx(one[0], rel=1e-10)
    for key, value in one[1].items():
        torch.testing.assert_close(two[1][key], value, rtol=1e-8, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.slow
@pytest.mark.parametrize("name", LATER)
def test_two_processes_train_as_one_over_epochs(name, two):
    from counterpoint.distributed import Comm

    same(two[name], work(name, Comm.alone(), "mlp"))


@pytest.mark.slow
def test_what_waits_has_its_turn():
    """Or the test above would compare what never moves."""
    from counterpoint.distributed import Comm

    def ends(name, epochs=EPOCHS):
        return work(name, Comm.alone(), "mlp", epochs=epochs)[1]

    for name, weight in {
        "swav with a queue": "negatives.rows",
        "dino with another head": "towers.projector.prototypes.weight",
    }.items():
        last = ends(name)
        assert not torch.equal(ends(name, 1)[weight], last[weight])
        if "queue" in name:
            assert int(last["negatives.taken"]) == LATER[name]["queue"]
    assert (ends("paco long-tailed")["negatives.label"] >= 0).all()


@pytest.mark.slow
def test_two_processes_with_chunks_train_as_one_without(two):
    from counterpoint.distributed import Comm

    same(two["chunks"], work("simclr", Comm.alone(), "mlp"))


@pytest.mark.long
def test_the_launcher_trains_on_two_ranks(tmp_path):
    """The command line under Fabric's own launcher and under torchrun."""
    import subprocess
    import sys

    shell = Path(sys.executable).parent
    flags = [
        "train",
        "simclr",
        "--source",
        "digits",
        "--encoder",
        "mlp",
        "--epochs",
        "2",
        "--no-evaluate",
        "--no-report",
    ]
    flags += ["--precision", "32-true", "--channels-last", "no", "--accelerator", "cpu"]
    for name, line in {
        "fabric": [shell / "counterpoint", *flags, "--devices", "2"],
        "torchrun": [shell / "torchrun", "--nproc-per-node", "2", "-m", "counterpoint", *flags],
        "alone": [shell / "counterpoint", *flags],
    }.items():
        line = [str(word) for word in [*line, "--out", tmp_path / name]]
        done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
        assert "510 negatives for each anchor" in done.stderr
    import counterpoint as cp

    ends = {
        name: [line["loss"] for line in cp.Run.open(tmp_path / name).history() if line["event"] == "step"]
        for name in ("fabric", "torchrun", "alone")
    }
    assert ends["fabric"] == pytest.approx(ends["alone"], rel=1e-4)
    assert ends["torchrun"] == pytest.approx(ends["alone"], rel=1e-4)
