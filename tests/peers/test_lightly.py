"""The losses of lightly that are here too: equal values and gradients, or the difference that a test's name says.

| theirs | ours |
|---|---|
| NTXentLoss | `nt_xent`; with a memory bank `info_nce` with a queue |
| DirectCLRLoss | `Truncated` before `nt_xent` |
| NegativeCosineSimilarity | `cosine_regression` |
| BarlowTwinsLoss | `barlow_twins` |
| VICRegLoss | `vicreg` |
| SwaVLoss | `Prototypes` and `Contrast` |
| DINOLoss | `Centred` and `Contrast` |
| HypersphereLoss, not exported by lightly.loss | `align_uniform` |

Their memory bank drops what does not fit before its end, where ours goes on at the beginning: equal where the batch
divides the bank. It has no debiased, parametric, triplet, margin or noise-contrastive loss.
"""

import pytest
import torch
from torch.nn import functional

from counterpoint.distributed import Comm
from counterpoint.heads import Truncated
from counterpoint.negatives import Centred, Prototypes, Queue, sinkhorn
from counterpoint.objectives import (
    Contrast,
    align_uniform,
    barlow_twins,
    cosine_regression,
    info_nce,
    nt_xent,
    vicreg,
)
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.scores import Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

from .agreement import agree, check_table, normal

pytestmark = pytest.mark.peers

COMPARED = {
    "BarlowTwinsLoss": "barlow_twins",
    "DINOLoss": "dino_and_its_centre",
    "DirectCLRLoss": "directclr_is_nt_xent_of_the_first_dimensions",
    "NTXentLoss": "nt_xent",
    "NegativeCosineSimilarity": "negative_cosine_similarity",
    "SwaVLoss": "swav_with_small_crops_and_a_queue",
    "VICRegLoss": "vicreg",
}
WITHOUT = {
    *("CAPILoss", "DCLLoss", "DCLWLoss", "DetConBLoss", "DetConSLoss", "EMPSSLLoss", "FroSSLLoss", "IBOTPatchLoss"),
    *("IBOTPlusPlusPatchLoss", "KoLeoLoss", "LeJEPALoss", "LeWMLoss", "MACLLoss", "MMCRLoss", "MSNLoss"),
    *("PMSNCustomLoss", "PMSNLoss", "PatchKernelAlignmentLoss", "SIGReg", "TiCoLoss", "VICRegLLoss", "VISRegLoss"),
    *("VISRegLossComponents", "WMSELoss", "Whitening2d"),
}
WIDTH = 5


def test_every_loss_of_lightly_is_in_a_table(lightly):
    exported = [name for name in dir(lightly) if isinstance(getattr(lightly, name), type)]
    check_table(exported, COMPARED, WITHOUT, globals())


# ---------------------------------------------------------------- two views


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent(lightly, temperature):
    theirs = lightly.NTXentLoss(temperature=temperature)
    agree(
        lambda x, y: nt_xent(torch.cat([x, y]), temperature=temperature),
        theirs,
        normal(0, 6, WIDTH),
        normal(1, 6, WIDTH),
    )


def test_directclr_is_nt_xent_of_the_first_dimensions(lightly):
    first = Truncated(3).build(Facts("made", "photos", 3, 8, 100, width=WIDTH))
    theirs = lightly.DirectCLRLoss(loss_dim=3, temperature=0.1)
    agree(
        lambda x, y: nt_xent(first(torch.cat([x, y])), temperature=0.1),
        theirs,
        normal(0, 6, WIDTH),
        normal(1, 6, WIDTH),
    )


def test_nt_xent_with_a_memory_bank_is_info_nce_with_a_queue(lightly):
    theirs = lightly.NTXentLoss(temperature=0.2, memory_bank_size=(12, WIDTH)).double()
    queue = Queue(12).build(Facts("made", "photos", 3, 8, 100, projection=WIDTH)).double()
    queue.rows.copy_(functional.normalize(theirs.memory_bank.bank))
    theirs.memory_bank.bank = queue.rows.clone()
    for step in range(4):
        queries, keys = normal(2 * step, 4, WIDTH), normal(2 * step + 1, 4, WIDTH)
        before = queue.rows.clone()
        agree(lambda q, k: info_nce(q, k, temperature=0.2, queue=before), theirs, queries, keys)  # noqa: B023
        keys = encoded(torch.cat([queries, keys]), 2)
        queue.after_step(torch.nn.Identity(), context(step), keys, keys)
        torch.testing.assert_close(functional.normalize(queue.rows), theirs.memory_bank.bank)


def test_negative_cosine_similarity(lightly):
    """SimSiam's is the mean of both directions; BYOL's 2 - 2 cos is the same but for a factor and a constant."""
    p, z = normal(0, 9, WIDTH), normal(1, 9, WIDTH)
    theirs = lightly.NegativeCosineSimilarity()
    agree(cosine_regression, theirs, p, z)
    agree(lambda p, z: cosine_regression(p, z, scale=2.0, offset=1.0) - 2, theirs, p, z, factor=2.0)


@pytest.mark.parametrize("dimensions", [4, 64])
def test_barlow_twins(lightly, dimensions):
    ours = lambda x, y: barlow_twins(x, y, redundancy=5e-3)  # noqa: E731
    agree(ours, lightly.BarlowTwinsLoss(5e-3), normal(0, 16, dimensions), normal(1, 16, dimensions))


@pytest.mark.parametrize("dimensions", [4, 64])
def test_vicreg(lightly, dimensions):
    agree(vicreg, lightly.VICRegLoss(), normal(0, 16, dimensions) / 2, normal(1, 16, dimensions) / 2)


def test_hypersphere_is_alignment_and_uniformity(lightly):
    from lightly.loss.hypersphere_loss import HypersphereLoss

    ours = lambda x, y: align_uniform(x, y, uniform=0.7, alpha=2.0, t=2.0)  # noqa: E731
    agree(ours, HypersphereLoss(t=2.0, lam=0.7, alpha=2.0), normal(0, 8, WIDTH), normal(1, 8, WIDTH))


# ---------------------------------------------------------------- answers of another view


def context(step=0):
    return Context(Clock(step, 100, 10), Comm.alone(), Streams(0))


def encoded(z, views):
    image = torch.arange(len(z) // views)
    none = torch.zeros(len(image), 1, 2, 2, dtype=torch.uint8)
    return Encoded(z, z, Rows.of(Batch(none, image, image, torch.full_like(image, -1)), views))


def test_sinkhorn(lightly):
    from lightly.loss.swav_loss import sinkhorn as theirs

    scores = torch.tanh(normal(0, 9, 4))
    torch.testing.assert_close(sinkhorn(scores, epsilon=0.05, iterations=3), theirs(scores, 3, 0.05))


@pytest.mark.parametrize("queue", [0, 8])
def test_swav_with_small_crops_and_a_queue(lightly, queue):
    part = Prototypes(7, queue=queue, queue_from=0.0)
    state = part.build(Facts("made", "photos", 3, 8, 100, projection=WIDTH)).double()
    state.before_forward(torch.nn.Identity(), context())
    if queue:
        earlier = encoded(normal(9, 2 * queue, WIDTH), 2)
        state.after_step(torch.nn.Identity(), context(), earlier, earlier)
    loss = lightly.SwaVLoss()

    def ours(z):
        online = encoded(z, 4)
        return Contrast(0.1)(part.match(online, online.detached(), SameSample(), Dot(), state, context())).total

    def theirs(z):
        scores = (functional.normalize(z, dim=1) @ state.rows.T).chunk(4)
        stored = [rows @ state.rows.T for rows in state.queue] if queue else None
        return loss(list(scores[:2]), list(scores[2:]), stored)

    agree(ours, theirs, normal(0, 4 * 6, WIDTH))


def test_dino_and_its_centre(lightly):
    # They hold the temperature in float32: one that it can hold.
    part = Centred(1 / 16)
    state = part.build(Facts("made", "photos", 3, 8, 100, projection=WIDTH)).double()
    theirs = lightly.DINOLoss(WIDTH, teacher_temp=1 / 16).double()
    for step in range(3):
        keys = encoded(normal(10 + step, 2 * 6, WIDTH), 2)

        def ours(z):
            online = encoded(z, 4)
            matches = part.match(online, keys, SameSample(), Dot(), state, context())  # noqa: B023
            return Contrast(0.1)(matches).total

        def loss(z):
            return theirs(list(keys.z.chunk(2)), list(z.chunk(4)))  # noqa: B023

        agree(ours, loss, normal(step, 4 * 6, WIDTH))
        state.after_step(torch.nn.Identity(), context(step), keys, keys)
        torch.testing.assert_close(state.centre, theirs.center.reshape(-1))
