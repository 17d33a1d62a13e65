"""What the practicum says of its twelve scenarios, and what decides it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from counterpoint.studies.study import Claim, Decision
from counterpoint.studies.twelve_scenarios import rules
from counterpoint.studies.twelve_scenarios.answers import Answers, Protocol
from counterpoint.studies.twelve_scenarios.grid import POLICIES
from counterpoint.studies.twelve_scenarios.published import PUBLISHED, SETS

__all__ = ["claims_of"]

_SHEET = "results sheet in the authors' repository"
_CAPTIONS = "captions and text of the report's figures"
_TEXT = "text of the report"
_SMALLEST = (
    "held where the 95 % interval of it over seeds lies above zero, not held where the own interval of one of the "
    "differences lies below zero (Holm over all of them), else undecided, as the smallest "
    "of several that scatter tends to lie below all their means"
)


@dataclass(frozen=True)
class _Finding:
    """A claim of either protocol."""

    key: str
    statement: str
    measured: str
    decide: Callable[[Answers], Decision]
    rule: str = _SMALLEST
    where: str = _SHEET
    published: str = ""
    origin: Literal["paper", "repository", ""] = ""


def _ours(*cells: tuple[str, str, str]) -> str:
    return ", ".join(f"{PUBLISHED[cell][0]:.3f}" for cell in cells)


def _findings() -> Iterator[_Finding]:
    yield _Finding(
        key="triplet-above-pairwise",
        statement="The triplet loss is better than the pairwise loss in every setting",
        published="by 0.041 to 0.370 in accuracy",
        origin="repository",
        measured="the smallest of six differences in accuracy (two data sets, three augmentations), seed by seed",
        decide=rules.triplet_above,
    )
    for data, name in SETS.items():
        cells = [(data, "triplet", policy) for policy in POLICIES]
        yield _Finding(
            key=f"triplet-monotone-{data}",
            statement=f"Stronger augmentation helps the triplet loss at each step, {name}, in accuracy and neighbours",
            published=_ours(*cells),
            origin="repository",
            measured="the smallest of four gains: none to pad-rotate-scale to SimCLR, in accuracy and in neighbours",
            decide=lambda answers, data=data: rules.monotone(answers, data),
        )
        cells = [(data, "pairwise", policy) for policy in POLICIES]
        yield _Finding(
            key=f"pairwise-peak-{data}",
            statement=f"The pairwise loss is best with pad, rotate, scale on {name}, in accuracy and neighbours",
            published=_ours(*cells),
            origin="repository",
            measured="the smallest of four leads: over none and over SimCLR, in accuracy and in neighbours",
            decide=lambda answers, data=data: rules.peak(answers, data),
        )
    yield _Finding(
        key="simclr-hurts-pairwise-mnist",
        statement="SimCLR's augmentation hurts the pairwise loss on MNIST (a flip makes other signs of digits)",
        published="0.659 to 0.558; neighbours 0.685 to 0.460",
        origin="repository",
        measured="none less SimCLR, the smaller of accuracy and neighbours",
        decide=rules.hurts,
    )
    yield _Finding(
        key="mnist-easier",
        statement="MNIST is above CIFAR-10 in every scenario",
        published="by 0.269 to 0.586 in accuracy",
        origin="repository",
        measured="the smallest of six differences in accuracy",
        decide=rules.easier,
    )
    yield _Finding(
        key="best-classes",
        statement="Airplane, automobile, frog, ship and truck are the best classified of CIFAR-10",
        where=_CAPTIONS,
        measured="per-class accuracy, mean of six CIFAR-10 scenarios: the worst of the five less the best of the rest",
        rule="held where the 95 % interval of it over seeds lies above zero: they are the first five; not held where "
        "one of the five lies surely below one of the rest (intervals over seeds, Holm over 25 pairs), else undecided",
        decide=rules.best_classes,
    )
    yield _Finding(
        key="animals-confused",
        statement="Animals are confused with animals",
        where=_CAPTIONS,
        measured="of all wrong answers for images of animals, the share that names another animal; chance is 5/9",
        rule="held where its 95 % interval over seeds lies above 5/9",
        decide=rules.animals,
    )
    yield _Finding(
        key="heavier-no-better",
        statement="Heavier augmentation did not lead to better results",
        where=_TEXT,
        published="the sheet says otherwise for triplets: 0.920 to 0.928, 0.334 to 0.364",
        origin="repository",
        measured="gain in accuracy from pad-rotate-scale to SimCLR, mean of both data sets; the larger of both losses'",
        rule="held where its 95 % interval over seeds lies below zero, not held where one loss's own interval lies "
        "above zero (Holm over both), else undecided",
        decide=rules.heavier,
    )
    yield _Finding(
        key="neighbours-above-classifier",
        statement="20 to 100 nearest neighbours are 1 to 3 points better than logistic regression",
        where=_TEXT,
        published="1 to 3 points; the sheet's own (30 neighbours): −9.8 to +3.9, mean −0.6",
        origin="repository",
        measured="neighbours less classifier, mean over 20, 50 and 100 neighbours and over the twelve scenarios",
        rule="held where its 95 % interval over seeds lies within 1 to 3 points, not held where it lies outside",
        decide=rules.neighbours,
    )
    yield _Finding(
        key="ninety-six",
        statement="MNIST with triplets and SimCLR's augmentation reaches 96 %",
        where=_TEXT,
        published="96 %; the sheet has 92.8 %",
        origin="paper",
        measured="accuracy of that scenario",
        rule="held where its 95 % interval over seeds lies within 94.4 to 97.6 %: nearer to 96 than to 92.8",
        decide=lambda answers: rules.figure(answers, 0.944, 0.976),
    )
    yield _Finding(
        key="ninety-three",
        statement="MNIST with triplets and SimCLR's augmentation reaches 92.8 %",
        published="0.928",
        origin="repository",
        measured="accuracy of that scenario",
        rule="held where its 95 % interval over seeds lies within 91.2 to 94.4 %: nearer to 92.8 than to 96",
        decide=lambda answers: rules.figure(answers, 0.912, 0.944),
    )
    yield _Finding(
        key="table",
        statement="The twelve accuracies are those of the results sheet",
        published="0.265 to 0.928",
        origin="repository",
        measured="the largest of twelve distances between a measured and its published accuracy, seed by seed",
        rule="held where its 95 % interval over seeds lies below 5 points, as single runs of the source may differ; "
        "not held where one scenario's own interval lies above (Holm over twelve), else undecided",
        decide=rules.table,
    )
    yield _Finding(
        key="order",
        statement="The scenarios rank as in the results sheet",
        origin="repository",
        measured="Spearman's rank correlation of published and measured accuracy (means over seeds), twelve scenarios",
        rule="held where its 95 % bootstrap interval lies above 0.8, not held where it lies below",
        decide=rules.order,
    )
    yield _Finding(
        key="cosine-lines",
        statement="The maps of the cosine loss are made of lines",
        where=_CAPTIONS,
        measured=(
            "share of the variance of ten neighbours on a map that lies along one line; pairwise less triplet, the "
            "smallest of six differences"
        ),
        decide=rules.lines,
    )
    yield _Finding(
        key="clearest-map",
        statement="On CIFAR-10 the pairwise loss with SimCLR's augmentation has the clearest map",
        where=_CAPTIONS,
        measured="purity of the map (share of ten neighbours of the class), its smallest lead over five other maps",
        decide=rules.clearest,
    )
    yield _Finding(
        key="triplet-maps-poor",
        statement="The maps of the triplet loss on CIFAR-10 are poor",
        where=_CAPTIONS,
        measured="the largest map purity of the three triplet scenarios",
        rule="held where its 95 % interval over seeds lies below a half: most neighbours are of another class; not "
        "held where one map's own interval lies above (Holm over three), else undecided",
        decide=rules.poor,
    )
    yield _Finding(
        key="map-ranks",
        statement="The map's quality ranks the scenarios as accuracy does",
        where="asked by us",
        measured="Spearman's rank correlation of map purity and accuracy (means over seeds), twelve scenarios",
        rule="held where its 95 % bootstrap interval lies above 0.8, not held where it lies below",
        decide=lambda answers: rules.map_ranks(answers, within=False),
    )
    yield _Finding(
        key="map-ranks-within",
        statement="The map's quality ranks the scenarios of one data set as accuracy does",
        where="asked by us: over both sets the ranking is nearly that of the sets",
        measured="the same, of ranks within each data set",
        rule="held where its 95 % bootstrap interval lies above zero, not held where it lies below",
        decide=lambda answers: rules.map_ranks(answers, within=True),
    )


def claims_of(protocols: Sequence[Protocol]) -> tuple[Claim, ...]:
    """Every claim by each protocol: whether it holds as it was made, and whether it holds by the usual evaluation."""
    trained = {
        "faithful": "by the practicum's protocol (training and evaluation)",
        "sound": "by the sound protocol (training and evaluation)",
    }

    return tuple(
        Claim(
            key=f"{finding.key}-{protocol}",
            statement=f"{finding.statement} ({protocol})",
            where=finding.where,
            published=finding.published,
            origin=finding.origin,
            measured=f"{finding.measured}; {trained[protocol]}",
            rule=finding.rule,
            decide=lambda results, finding=finding, protocol=protocol: finding.decide(Answers(results, protocol)),
        )
        for finding in _findings()
        for protocol in protocols
    )
