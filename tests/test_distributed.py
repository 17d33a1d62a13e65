"""Two and three gloo processes give one process's loss, gradients and statistics.

Run as a script, this file is one rank: it works on its share and writes what it got.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from counterpoint.distributed import Comm, GlobalBatchNorm
from counterpoint.errors import RecipeError
from counterpoint.objectives import Contrast, Each, Joint
from counterpoint.pairing import SameClass, SameSample
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Columns, Encoded, Loss, Match, Rows, State

# One worker starts the ranks for all tests of the file.
pytestmark = pytest.mark.xdist_group("ranks")

SHARE = 4  # images of a rank
VIEWS = 2


def images(world: int) -> Batch:
    """A joined batch whose labels leave the last rank without a positive, and the first with most."""
    n = SHARE * world
    label = torch.arange(100, 100 + n)
    label[:3] = 1
    label[SHARE] = 1
    pixels = torch.randint(0, 256, (n, 1, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Batch(pixels, torch.arange(n) + 50, torch.arange(n), label)


def share(batch: Batch, rank: int) -> Batch:
    own = slice(rank * SHARE, (rank + 1) * SHARE)
    return Batch(batch.images[own], batch.sample[own], batch.position[own], batch.label[own])


def network() -> nn.Module:
    """BatchNorm after a linear layer and after a convolution; one layer that no loss reaches."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))
    network.append(nn.BatchNorm1d(5, momentum=None, affine=False))
    network.register_module("unused", nn.Identity())
    network.register_parameter("idle", nn.Parameter(torch.ones(2)))
    return network.double()


def step(comm: Comm, batch: Batch, case: str) -> dict[str, Tensor]:
    """One step of a loop: encode, compare with all ranks, weigh, average."""
    model = comm.synchronised(network())
    layers = nn.Sequential(*list(model.children())[:6])
    # Two views: the image and its negative.
    pixels = batch.images.double() / 255
    seen = torch.cat([pixels, (1 - pixels) * 0.7 + 0.1])
    z = layers(seen)
    rows = Rows.of(batch, VIEWS)
    everyone, who = comm.gather(z), comm.gather_rows(rows)
    pairing = SameClass(only_other_view=True) if case.startswith("sup_con") else SameSample()
    if case == "sup_con_own_view":
        pairing = SameClass()
        rows = rows.where(rows.view == 0)
        z = z[: len(rows)]
        everyone, who = comm.gather(z), comm.gather_rows(rows)
    objective = Contrast(0.3, Each() if case.endswith("each") else Joint())
    loss = objective([Match(z, (Columns(everyone, pairing.relation(rows, who), Cosine()),))])
    total = comm.weight(loss)
    total.backward()
    comm.average_gradients(model.parameters())
    mean = comm.sum(total) / comm.world
    answer = {"loss": mean, "anchors": comm.sum(torch.tensor(float(loss.anchors)))}
    answer |= {f"grad {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return answer | {f"state {n}": t.clone() for n, t in model.state_dict().items()}


CASES = ["nt_xent", "nt_xent_each", "sup_con", "sup_con_each", "sup_con_own_view"]


class Queue(State):
    per_rank = True

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("rows", torch.full((2,), value))
        self.weight = nn.Parameter(torch.full((2,), value))


def collectives(comm: Comm) -> dict[str, Tensor]:
    """What each method answers on this rank."""
    t = torch.arange(4.0).reshape(2, 2) + 10 * comm.rank
    leaf = t.clone().requires_grad_()
    weight = torch.arange(2.0 * comm.world)[:, None] + comm.rank
    (comm.gather(leaf) * weight).sum().backward()
    moment = torch.tensor(2.0 + comm.rank, requires_grad=True)
    (comm.sum_differentiable(moment) ** 2 * (comm.rank + 1)).backward()

    here, nowhere = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    if comm.rank == 0:
        here.grad = torch.tensor([1.0, 2.0, 3.0])
    comm.average_gradients([here, nowhere, nn.Parameter(torch.ones(1), requires_grad=False)])
    queue, plain = Queue(float(comm.rank)), nn.BatchNorm1d(2)
    plain.running_mean += comm.rank + 1
    comm.broadcast(queue)
    comm.broadcast(plain)
    rows = Rows(*(torch.tensor([comm.rank, 7]) for _ in range(4)))
    encoded = comm.gather_encoded(Encoded(t, t + 1, rows, t + 2))
    comm.barrier()
    try:
        comm.weight(Loss(torch.tensor(0.0), anchors=0))
        refused = 0.0
    except RecipeError:
        refused = 1.0
    assert here.grad is not None
    assert encoded.p is not None
    return {
        "gathered": comm.gather_detached(t),
        "gather gradient": leaf.grad,
        "sum": comm.sum(t),
        "moment gradient": moment.grad,
        "averaged": here.grad,
        "nowhere": torch.tensor(float(nowhere.grad is None)),
        "queue rows": queue.rows,
        "queue weight": queue.weight.detach(),
        "running mean": plain.running_mean,
        "rows": encoded.rows.sample,
        "partner": torch.tensor(float(encoded.rows.partner is None)),
        "encoded": torch.stack([encoded.h, encoded.z, encoded.p]),
        "refused": torch.tensor(refused),
    }


def be_rank(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    comm = Comm.current()
    assert comm == Comm(rank, world)
    answers = {case: step(comm, share(images(world), rank), case) for case in CASES}
    torch.save(answers | {"collectives": collectives(comm)}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, dict[str, Tensor]]]:
    world: int = request.param
    folder = tmp_path_factory.mktemp(f"world{world}")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", __file__, str(rank), str(world), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        complaints = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, "\n".join(complaints)
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


@pytest.mark.parametrize("case", CASES)
def test_ranks_give_the_step_of_one_process(ranks: list[dict[str, dict[str, Tensor]]], case: str) -> None:
    alone = step(Comm.alone(), images(len(ranks)), case)
    assert alone["anchors"] > 0
    assert sum("grad" in name for name in alone) == 6
    for rank in ranks:
        assert rank[case].keys() == alone.keys()
        for name, expected in alone.items():
            assert torch.allclose(rank[case][name], expected, rtol=0, atol=1e-12), name


def test_collectives(ranks: list[dict[str, dict[str, Tensor]]]) -> None:
    world = len(ranks)
    t = [torch.arange(4.0).reshape(2, 2) + 10 * rank for rank in range(world)]
    joined = torch.cat(t)
    for rank, everything in enumerate(ranks):
        got = everything["collectives"]
        assert torch.equal(got["gathered"], joined)
        weight = sum(torch.arange(2.0 * world)[:, None] + r for r in range(world))
        assert torch.equal(got["gather gradient"], weight[2 * rank : 2 * rank + 2].expand(2, 2))
        assert torch.equal(got["sum"], sum(t[1:], t[0]))
        total = sum(2.0 + r for r in range(world))
        assert got["moment gradient"].item() == sum(2 * total * (r + 1) for r in range(world))
        assert torch.allclose(got["averaged"], torch.tensor([1.0, 2.0, 3.0]) / world)
        assert got["nowhere"] == 1
        assert (got["queue rows"] == rank).all()
        assert (got["queue weight"] == 0).all()
        assert (got["running mean"] == 1).all()
        assert got["rows"].tolist() == [x for r in range(world) for x in (r, 7)]
        assert got["partner"] == 1
        assert torch.equal(got["encoded"], torch.stack([joined, joined + 1, joined + 2]))
        assert got["refused"] == 1


def test_alone_nothing_is_copied() -> None:
    comm, t = Comm.alone(), torch.ones(2, 2, requires_grad=True)
    rows = Rows(*(torch.arange(2) for _ in range(4)))
    encoded = Encoded(t, t, rows)
    layer = nn.Sequential(nn.BatchNorm1d(2))
    assert Comm.current() == comm
    assert comm.gather(t) is t
    assert comm.sum_differentiable(t) is t
    assert comm.gather_rows(rows) is rows
    assert comm.gather_encoded(encoded) is encoded
    assert comm.gather_detached(t).data_ptr() == t.data_ptr()
    assert comm.synchronised(layer) is layer
    assert type(layer[0]) is nn.BatchNorm1d
    loss = Loss(t.sum(), anchors=3)
    assert comm.weight(loss) is loss.total
    comm.average_gradients([nn.Parameter(t)])
    comm.broadcast(layer)
    comm.barrier()


def test_a_batch_without_positives_is_refused() -> None:
    with pytest.raises(RecipeError, match="no anchor of the batch has a positive"):
        Comm.alone().weight(Loss(torch.tensor(0.0), anchors=0))


def test_one_rank_of_a_global_batch_norm_is_a_batch_norm() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 2, 2)
    torch_s, ours = nn.BatchNorm2d(3), GlobalBatchNorm(3, Comm.alone())
    assert torch.equal(torch_s(x), ours(x))
    assert torch_s.state_dict().keys() == ours.state_dict().keys()
    assert torch.equal(torch_s.eval()(x), ours.eval()(x))


def test_a_norm_that_cannot_be_synchronised_is_refused() -> None:
    class Odd(nn.BatchNorm1d):
        pass

    with pytest.raises(RecipeError, match="Odd would keep its statistics by rank"):
        Comm(0, 2).synchronised(nn.Sequential(Odd(2)))
    assert isinstance(Comm.alone().synchronised(nn.Sequential(Odd(2))), nn.Sequential)


def test_a_norm_that_is_meant_to_differ_by_rank_is_left_alone() -> None:
    class Split(nn.BatchNorm1d):
        per_rank = True

    module = Comm(0, 2).synchronised(nn.Sequential(Split(2), nn.Sequential(nn.BatchNorm1d(2))))
    assert isinstance(module, nn.Sequential)
    assert type(module[0]) is Split
    inner = module[1]
    assert isinstance(inner, nn.Sequential)
    assert isinstance(inner[0], GlobalBatchNorm)


if __name__ == "__main__":
    be_rank(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
