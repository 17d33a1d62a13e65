"""The losses of pytorch-metric-learning that are here too: equal values and gradients, or the named difference.

| theirs | ours |
|---|---|
| NTXentLoss | `Contrast` with `Each`: a positive against the negatives only, whatever the other positives |
| SupConLoss | `sup_con` |
| SelfSupervisedLoss | `nt_xent` around either |
| CrossBatchMemory | `Contrast` over keys and memory in one group; the keys of the batch repel too |
| NPairsLoss | `Contrast` of products, each anchor with one positive |
| NormalizedSoftmaxLoss | `Contrast` of cosines to learned centres |
| NCALoss | `Contrast` of squared distances; of several positives theirs is the log of a sum, ours the mean of logs |
| ProxyNCALoss | the same against one centre for each class |
| ContrastiveLoss | of cosines `cosine_embedding`, where they add the means of positives and of negatives |
| ContrastiveLoss | of distances the positives are twice `Margin`'s; their hinge of the negatives is not squared |
| TripletMarginLoss | `Triplet`; their default mean is over triplets that cost something |
| BatchHardMiner | `Triplet(mining="hard")` |
| BatchEasyHardMiner | "semihard": `Triplet(mining="semi-hard")`, but they drop an anchor without a farther negative |
| DistanceWeightedMiner | `Triplet(mining="distance-weighted")`, the expectation over their draw without their cut |
| VICRegLoss | `vicreg` |

Their MarginLoss is that of Wu et al. 2017, with a learned boundary; ours is that of Hadsell et al. 2006.
"""

from unittest import mock

import pytest
import torch
from torch.nn import functional

from counterpoint.objectives import (
    Contrast,
    Each,
    Margin,
    Triplet,
    cosine_embedding,
    nt_xent,
    sup_con,
    triplet_margin,
    vicreg,
)
from counterpoint.relations import Aligned, Indexed, Keyed
from counterpoint.scores import Cosine, Dot, Euclidean
from counterpoint.types import Columns, Match

from .agreement import agree, check_table, normal

pytestmark = pytest.mark.peers

COMPARED = {
    "ContrastiveLoss": "contrastive_of_cosines_adds_the_means_of_both_kinds",
    "CrossBatchMemory": "cross_batch_memory_holds_the_keys_of_the_batch_too",
    "NCALoss": "nca_with_one_positive",
    "NPairsLoss": "n_pairs",
    "NTXentLoss": "nt_xent_of_several_positives_is_a_mean_over_pairs",
    "NormalizedSoftmaxLoss": "normalized_softmax_has_learned_centres",
    "ProxyNCALoss": "proxy_nca_has_learned_centres",
    "SelfSupervisedLoss": "self_supervised_is_nt_xent",
    "SupConLoss": "sup_con",
    "TripletMarginLoss": "triplets",
    "VICRegLoss": "vicreg",
}
WITHOUT = {
    *("AngularLoss", "ArcFaceLoss", "CircleLoss", "CosFaceLoss", "DynamicSoftMarginLoss", "FastAPLoss"),
    *("GeneralizedLiftedStructureLoss", "HistogramLoss", "InstanceLoss", "IntraPairVarianceLoss"),
    *("LargeMarginSoftmaxLoss", "LiftedStructureLoss", "ManifoldLoss", "MarginLoss", "MultiSimilarityLoss"),
    *("P2SGradLoss", "PNPLoss", "ProxyAnchorLoss", "RankedListLoss", "SignalToNoiseRatioContrastiveLoss"),
    *("SmoothAPLoss", "SoftTripleLoss", "SphereFaceLoss", "SubCenterArcFaceLoss", "ThresholdConsistentMarginLoss"),
    *("TupletMarginLoss",),
    # No losses of their own.
    *("BaseLossWrapper", "BaseMetricLossFunction", "EmbeddingRegularizerMixin", "GenericPairLoss", "MultipleLosses"),
    *("WeightRegularizerMixin",),
}
WIDTH = 5
EVEN = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])
UNEVEN = torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 0])
NEAR = Euclidean(eps=0.0)


def in_batch(z, labels, score=None):
    """Every row against all others, by label."""
    row = torch.arange(len(z))
    return Match(z, (Columns(z, Keyed(labels, labels, row, row), score or Cosine()),))


def loss_of(objective, labels, score=None):
    return lambda z: objective([in_batch(z, labels, score)]).total


def test_every_loss_of_metric_learning_is_in_a_table(metric_learning):
    losses = metric_learning.losses
    exported = [name for name in dir(losses) if isinstance(getattr(losses, name), type)]
    check_table(exported, COMPARED, WITHOUT, globals())


# ---------------------------------------------------------------- softmax


def test_self_supervised_is_nt_xent(metric_learning):
    losses = metric_learning.losses
    for inner in (losses.NTXentLoss(temperature=0.2), losses.SupConLoss(temperature=0.2)):
        agree(
            lambda x, y: nt_xent(torch.cat([x, y]), temperature=0.2),
            losses.SelfSupervisedLoss(inner),
            *(normal(seed, 6, WIDTH) for seed in (0, 1)),
        )


@pytest.mark.parametrize("labels", [EVEN, UNEVEN], ids=["even", "uneven, one alone"])
def test_sup_con(metric_learning, labels):
    agree(
        lambda z: sup_con(z, labels, temperature=0.1),
        lambda z: metric_learning.losses.SupConLoss(temperature=0.1)(z, labels),
        normal(0, 9, WIDTH),
    )


def test_nt_xent_of_several_positives_is_a_mean_over_pairs(metric_learning):
    theirs = metric_learning.losses.NTXentLoss(temperature=0.2)
    z = normal(0, 9, WIDTH)
    # Where all classes are of one size the mean over pairs is the mean over anchors of the mean over positives.
    agree(loss_of(Contrast(0.2, denominator=Each()), EVEN), lambda z: theirs(z, EVEN), z)

    def over_pairs(z):
        whole, pairs = 0.0, 0
        for i, label in enumerate(UNEVEN.tolist()):
            positives = int((label == UNEVEN).sum()) - 1
            if positives:
                row = torch.arange(len(z))
                relation = Keyed(UNEVEN[i : i + 1], UNEVEN, row[i : i + 1], row)
                one = Match(z[i : i + 1], (Columns(z, relation, Cosine()),))
                whole = whole + positives * Contrast(0.2, denominator=Each())([one]).total
                pairs += positives
        return whole / pairs

    agree(over_pairs, lambda z: theirs(z, UNEVEN), z)


def test_cross_batch_memory_holds_the_keys_of_the_batch_too(metric_learning):
    """As MoCo would use it: keys enter before they are compared, so that those of other images repel as well."""
    losses = metric_learning.losses
    theirs = losses.CrossBatchMemory(losses.NTXentLoss(temperature=0.2), WIDTH, memory_size=12)
    for step in range(4):
        queries, keys = normal(2 * step, 4, WIDTH), normal(2 * step + 1, 4, WIDTH)
        images = torch.arange(4 * step, 4 * step + 4)
        both, stored = torch.cat([images, images]), torch.cat([torch.zeros(4), torch.ones(4)]).bool()
        earlier = [normal(2 * s + 1, 4, WIDTH) for s in range(max(0, step - 2), step)]

        def ours(q):
            rows = torch.cat([keys, *earlier])  # noqa: B023
            return Contrast(0.2)([Match(q, (Columns(rows, Aligned(), Cosine()),))]).total

        def loss(q):
            return theirs(torch.cat([q, keys]), both, enqueue_mask=stored)  # noqa: B023

        agree(ours, loss, queries)


def test_n_pairs(metric_learning):
    theirs = metric_learning.losses.NPairsLoss()
    images = torch.arange(6)

    def ours(x, y):
        return Contrast(1.0)([Match(x, (Columns(y, Aligned(), Dot()),))]).total

    def loss(x, y):
        return theirs(torch.cat([x, y]), indices_tuple=(images, images + 6, images, images), labels=images.repeat(2))

    # Their anchors are of unit length by default, as are their positives.
    agree(lambda x, y: ours(*(functional.normalize(z) for z in (x, y))), loss, normal(0, 6, WIDTH), normal(1, 6, WIDTH))


def test_normalized_softmax_has_learned_centres(metric_learning):
    theirs = metric_learning.losses.NormalizedSoftmaxLoss(3, WIDTH, temperature=0.1).double()

    def ours(z):
        return Contrast(0.1)([Match(z, (Columns(theirs.W.T, Indexed(EVEN), Cosine()),))]).total

    agree(ours, lambda z: theirs(z, EVEN), normal(0, 9, WIDTH))


def test_proxy_nca_has_learned_centres(metric_learning):
    theirs = metric_learning.losses.ProxyNCALoss(3, WIDTH, softmax_scale=2.0).double()

    def ours(z):
        rows = functional.normalize(theirs.proxies)
        match = Match(functional.normalize(z), (Columns(rows, Indexed(EVEN), Euclidean(squared=True, eps=0.0)),))
        return Contrast(0.5)([match]).total

    agree(ours, lambda z: theirs(z, EVEN), normal(0, 9, WIDTH))


def test_nca_with_one_positive(metric_learning):
    theirs = metric_learning.losses.NCALoss(softmax_scale=2.0)
    score = Euclidean(squared=True, eps=0.0)
    z = functional.normalize(normal(0, 8, WIDTH))
    pairs = torch.arange(8) % 4
    agree(lambda z: loss_of(Contrast(0.5), pairs, score)(functional.normalize(z)), lambda z: theirs(z, pairs), z)


# ---------------------------------------------------------------- pairs and triplets


def far(metric_learning, **more):
    return metric_learning.distances.LpDistance(normalize_embeddings=False, **more)


def test_contrastive_of_cosines_adds_the_means_of_both_kinds(metric_learning):
    mean, cosine = metric_learning.reducers.MeanReducer(), metric_learning.distances.CosineSimilarity()
    theirs = metric_learning.losses.ContrastiveLoss(1.0, 0.2, distance=cosine, reducer=mean)
    left, right = (index.flatten() for index in torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij"))
    left, right = left[left != right], right[left != right]
    alike = UNEVEN[left] == UNEVEN[right]
    kinds = [(part, torch.full((int(part.sum()),), sign)) for part, sign in ((alike, 1), (~alike, -1))]

    def ours(z):
        means = [cosine_embedding(z[left[part]], z[right[part]], sign, margin=0.2) for part, sign in kinds]
        whole = cosine_embedding(z[left], z[right], torch.where(alike, 1, -1), margin=0.2)
        shares = [part.double().mean() for part, _ in kinds]
        torch.testing.assert_close(whole, shares[0] * means[0] + shares[1] * means[1])
        return means[0] + means[1]

    agree(ours, lambda z: theirs(z, UNEVEN), normal(0, 9, WIDTH))


def test_contrastive_of_distances_has_twice_the_cost_of_positives(metric_learning):
    mean = metric_learning.reducers.MeanReducer()
    theirs = metric_learning.losses.ContrastiveLoss(0.0, 0.0, distance=far(metric_learning, power=2), reducer=mean)
    one = torch.zeros(5, dtype=torch.int64)
    agree(loss_of(Margin(1.0), one, NEAR), lambda z: theirs(z, one), normal(0, 5, WIDTH), factor=0.5)


@pytest.mark.parametrize("power", [1, 2])
def test_triplets(metric_learning, power):
    losses, mean = metric_learning.losses, metric_learning.reducers.MeanReducer()
    score = Euclidean(squared=power == 2, eps=0.0)
    z = normal(0, 9, WIDTH)
    theirs = losses.TripletMarginLoss(0.5, distance=far(metric_learning, power=power), reducer=mean)
    agree(loss_of(Triplet(0.5), UNEVEN, score), lambda z: theirs(z, UNEVEN), z)
    # Their default: the mean over the triplets that cost something.
    active = Triplet(0.5)([in_batch(z, UNEVEN, score)]).terms["active"]
    theirs = losses.TripletMarginLoss(0.5, distance=far(metric_learning, power=power))
    assert 0 < active < 1
    agree(loss_of(Triplet(0.5), UNEVEN, score), lambda z: theirs(z, UNEVEN), z, factor=float(active), rtol=1e-6)


def test_triplets_of_cosines(metric_learning):
    cosine, mean = metric_learning.distances.CosineSimilarity(), metric_learning.reducers.MeanReducer()
    theirs = metric_learning.losses.TripletMarginLoss(0.5, distance=cosine, reducer=mean)
    agree(loss_of(Triplet(0.5), UNEVEN, Cosine()), lambda z: theirs(z, UNEVEN), normal(0, 9, WIDTH))


@pytest.mark.parametrize("swap", [False, True])
def test_given_triplets(metric_learning, swap):
    """Ours adds 1e-6 to each difference, as torch does; theirs does not."""
    mean = metric_learning.reducers.MeanReducer()
    theirs = metric_learning.losses.TripletMarginLoss(0.5, swap=swap, distance=far(metric_learning), reducer=mean)
    images = torch.arange(6)
    agree(
        lambda a, p, n: triplet_margin(a, p, n, margin=0.5, swap=swap),
        lambda a, p, n: theirs(torch.cat([a, p, n]), indices_tuple=(images, images + 6, images + 12)),
        *(normal(seed, 6, WIDTH) for seed in range(3)),
        rtol=1e-5,
    )


def test_batch_hard_mining(metric_learning):
    distance, mean = far(metric_learning), metric_learning.reducers.MeanReducer()
    theirs = metric_learning.losses.TripletMarginLoss(0.5, distance=distance, reducer=mean)
    miner = metric_learning.miners.BatchHardMiner(distance=distance)
    ours = loss_of(Triplet(0.5, mining="hard"), UNEVEN, NEAR)
    agree(ours, lambda z: theirs(z, UNEVEN, miner(z, UNEVEN)), normal(0, 9, WIDTH))


def test_semi_hard_mining_where_a_band_holds_a_negative(metric_learning):
    distance, mean = far(metric_learning), metric_learning.reducers.MeanReducer()
    theirs = metric_learning.losses.TripletMarginLoss(3.0, distance=distance, reducer=mean)
    miner = metric_learning.miners.BatchEasyHardMiner("hard", "semihard", distance=distance)
    x = normal(0, 6, WIDTH)
    # Two views of each image, one positive each, near enough that some negative is farther.
    z, labels = torch.cat([x, x + 0.5 * normal(1, 6, WIDTH)]), torch.arange(6).repeat(2)
    assert len(miner(z, labels)[0]) == len(z)
    ours = loss_of(Triplet(3.0, mining="semi-hard"), labels, NEAR)
    agree(ours, lambda z: theirs(z, labels, miner(z, labels)), z)


def test_distance_weighted_mining_is_the_expectation_of_the_draw(metric_learning):
    """Their chances are read where they draw by them, and their loss is averaged over all draws."""
    from pytorch_metric_learning.miners import distance_weighted_miner

    miner = metric_learning.miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=2.0)
    distance = metric_learning.distances.LpDistance()
    z = normal(0, 9, WIDTH)
    drawn = mock.Mock(return_value=(torch.tensor([0]),) * 3)
    with mock.patch.object(distance_weighted_miner.lmu, "get_random_triplet_indices", drawn):
        miner(z, EVEN)
    chance = drawn.call_args.kwargs["weights"]

    def theirs(z):
        table = distance(z)
        cost = functional.relu(table[:, :, None] - table[:, None] + 0.5)  # anchor, positive, negative
        positive = (EVEN[:, None] == EVEN) & ~torch.eye(9, dtype=torch.bool)
        return torch.einsum("apn,ap,an->", cost, positive.double(), chance) / positive.sum()

    ours = loss_of(Triplet(0.5, mining="distance-weighted"), EVEN, NEAR)
    agree(lambda z: ours(functional.normalize(z)), theirs, z)


# ---------------------------------------------------------------- two views


def test_vicreg(metric_learning):
    theirs = metric_learning.losses.VICRegLoss()
    agree(vicreg, lambda x, y: theirs(x, ref_emb=y), normal(0, 16, WIDTH) / 2, normal(1, 16, WIDTH) / 2)
