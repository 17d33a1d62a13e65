"""How far apart are similarities within a class and between classes, in the space of each method?

Its runs are those of `simlap-transfer`: six methods and three seeds, with `conv` on 16,350 images of 32 pixels 3,600 s
of one core, all shared. Reading one takes about 2 s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from counterpoint.embed import embed, pixels
from counterpoint.errors import RecipeError, SourceError
from counterpoint.evaluation import overlap
from counterpoint.evaluation.auroc import auroc
from counterpoint.evaluation.pairs import sample_pairs
from counterpoint.random import Streams
from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Histogram, Section
from counterpoint.report.numbers import per_cent
from counterpoint.studies.league.methods import listed
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import PAPER, claim
from counterpoint.studies.simlap.page import Seeds, bars_of, table_of, title_of
from counterpoint.studies.simlap.runs import GROUPS, dials_said, runs, sized
from counterpoint.studies.statistics import estimate, greater
from counterpoint.studies.study import SEEDS, Cell, Claim, Results, Scale, Study, Trained
from counterpoint.types import Embeddings, Source

__all__ = ["Overlap", "simlap_overlap"]

OWN = ("simlap", "simlap_moco")
BARE = {"untrained": "the untrained encoder", "pixels": "raw pixels"}
BINS = 100


@dataclass(frozen=True)
class Overlap:
    """Cosines of two test images of one class and of two, of h.

        overlap     common mass of their histograms, 200 bins on [-1, 1]; smaller is better separated
        auroc       chance that two of one class are more alike than two of two
        intra, inter  mean cosines; with super-classes also `near`: of two classes of one, and `far`: of others
        histogram   shares in 100 bins, likewise

    Source: the common mass as in Wu et al. 2024, whose bins are not printed.

    Args:
        at: the method at whose runs the untrained encoder and raw pixels are read too.
        pairs: of each kind, where not all are taken.
    """

    at: str = "simclr"
    pairs: int = 100_000

    name = "overlap"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where no class has two test images, or there is but one class."""
        dataset, seed = trained.dataset, trained.cell.seed
        spaces: dict[str, Embeddings] = {"learned": trained.test}
        if trained.cell.recipe == self.at:
            spaces["untrained"] = embed(trained.untrained, dataset.test, dataset, encoder="untrained")
            spaces["pixels"] = pixels(dataset.test, dataset)
        return {name: self.read(space, seed) for name, space in spaces.items()}

    def read(self, test: Embeddings, seed: int) -> dict[str, Any]:
        """Of some rows.

        Args:
            test: with labels.
            seed: of the pairs.
        """
        test = test.labelled()
        drawn = sample_pairs(test, pairs=self.pairs, stream=Streams(seed).at("pairs"))
        if drawn is None or test.labels is None:
            raise SourceError("no two test images are of one class, or all are; give more test images, with labels")
        cosines, same = drawn.similarity.double(), drawn.same
        parts: dict[str, Tensor] = {"intra": cosines[same], "inter": cosines[~same]}
        if test.super_of is not None:
            above = test.super_of[test.labels]
            kin = above[drawn.first] == above[drawn.second]
            parts |= {"near": cosines[~same & kin], "far": cosines[~same & ~kin]}
        found: dict[str, Any] = {
            "overlap": overlap(parts["intra"], parts["inter"]),
            "auroc": auroc(cosines, same),
            "histogram": {},
        }
        for name, values in parts.items():
            if len(values):
                found[name] = float(values.mean())
                counts = torch.histc(values.clamp(-1, 1).float(), BINS, -1, 1)
                found["histogram"][name] = [round(v, 6) for v in (counts / len(values)).tolist()]
        return found


def simlap_overlap(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    methods: str | Iterable[str] = "",
) -> Study:
    """Histograms of similarity within and between classes, and their common mass, of SimLAP and its rivals.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` or `smoke`.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: `conv`, or `mlp` at smoke scale, where None.
        images: trained on; None: all.
        epochs: of a method of two views; None: the usual.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        methods: names, as `simclr,simlap`; none: those of the paper's two groups.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    given = listed(methods)
    groups = {
        base: own
        for base, every in GROUPS.items()
        if (own := tuple(name for name in every if not given or name in given))
    }
    shown = tuple(name for every in groups.values() for name in every)
    if stray := [name for name in given if name not in shown]:
        known = ", ".join(name for every in GROUPS.values() for name in every)
        raise RecipeError(f"simlap-overlap: {', '.join(stray)} is in neither group; give some of {known}")
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    return Study(
        name="simlap-overlap",
        title=f"Similarity within and between classes of {plan.dataset.name}",
        about=(
            "A space in which two images of one class are more alike than two of two classes needs no classifier: a "
            "threshold on the similarity tells them apart. The overlap is the common mass of both histograms, 1 where "
            "they are the same and 0 where a threshold never fails.",
            "All is measured on h of test images, for which SimLAP has no gate. SupCon, GPaCo and both forms of SimLAP "
            "were trained with the classes' names, SimCLR and MoCo v3 without.",
            dials_said(plan, shown),
            BLIND,
        ),
        source="Wu et al. 2024",
        cells=runs(plan, shown, SEEDS[scale] if seeds is None else tuple(seeds)),
        evaluators=(Overlap(shown[0]),),
        claims=tuple(
            _claim(base, ours, other)
            for base, every in groups.items()
            for ours in every
            if ours in OWN
            for other in every
            if other not in OWN
        ),
        sections=partial(_sections, methods=shown),
    )


def _of(results: Results, method: str, measure: str, encoder: str = "learned") -> Seeds:
    return results.values(Overlap.name, encoder, measure, method=method)


def _claim(base: str, ours: str, other: str) -> Claim:
    return claim(
        f"{ours}-below-{other}".replace("_", "-"),
        f"{title_of(ours)} separates classes better than {title_of(other)} (on {base}).",
        f"Overlap of the similarities of test images within a class and between classes, in h: {title_of(other)} less "
        f"{title_of(ours)}.",
        "the difference is above 0",
        lambda results: greater(
            _of(results, other, "overlap"),
            _of(results, ours, "overlap"),
            unit="points",
            what=f"the overlap, {title_of(other)} less {title_of(ours)},",
        ),
        where=f"{PAPER}, histograms of similarity",
    )


def _sections(results: Results, methods: Sequence[str]) -> list[Section]:
    means = {name: found.mean for name in methods if (found := estimate(_of(results, name, "overlap"))) is not None}
    title = "Nothing is measured yet"
    if means:
        best, worst = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
        title = f"The overlap is smallest with {title_of(best)}, {per_cent(means[best])}"
        title += f", and largest with {title_of(worst)}, {per_cent(means[worst])}" if best != worst else ""
    places = [(title_of(name), name, "learned") for name in methods]
    places += [(said, methods[0], bare) for bare, said in BARE.items()]
    numbers = ("overlap", "auroc", "intra", "inter", "near", "far")
    heads = ("overlap", "AUROC", "cosine within", "cosine between", "of one super-class", "of two super-classes")
    bars: list[Exhibit] = []
    for measure, said in (("overlap", "smaller is better"), ("auroc", "larger is better, 50 % is chance")):
        bars += bars_of(
            "Overlap" if measure == "overlap" else "AUROC",
            f"Of the cosine of two test images within a class and between classes; {said}.",
            [name for name, _, _ in places],
            {"h": [_of(results, method, measure, encoder) for _, method, encoder in places]},
            Axis("overlap" if measure == "overlap" else "AUROC", percent=True),
        )
    table = table_of(
        "overlap",
        "Similarity within and between classes",
        ("space",),
        heads,
        [((said,), [_of(results, method, m, encoder) for m in numbers]) for said, method, encoder in places],
        "Of h of test images; mean cosines between classes also apart by whether both are of one super-class.",
    )
    histograms = tuple(
        made for said, method, encoder in places if (made := _histogram(results, said, method, encoder)) is not None
    )
    return [
        Section("overlap", title, exhibits=(*bars, table)),
        Section("histograms", "Histograms of similarity", ("Means over seeds.",), histograms),
    ]


def _histogram(results: Results, said: str, method: str, encoder: str) -> Histogram | None:
    held = [r.found[Overlap.name].get(encoder) for r in results.at(method=method) if Overlap.name in r.found]
    every = [one["histogram"] for one in held if one]
    if not every:
        return None
    labels = {"intra": "one class", "inter": "two classes"}
    if all("near" in one and "far" in one for one in every):
        labels = {"intra": "one class", "near": "two of one super-class", "far": "two of two super-classes"}
    groups = {
        name: tuple(sum(values) / len(every) for values in zip(*(one[key] for one in every), strict=True))
        for key, name in labels.items()
    }
    kept = [i for i in range(BINS) if any(counts[i] > 0 for counts in groups.values())]
    first, last = kept[0], kept[-1] + 1
    edges = tuple(-1 + 2 * i / BINS for i in range(first, last + 1))
    found = estimate(_of(results, method, "overlap", encoder))
    return Histogram(
        f"{said}: overlap {per_cent(found.mean)}" if found else said,
        "Share of the pairs of test images whose cosine falls between two edges.",
        edges,
        {name: counts[first:last] for name, counts in groups.items()},
        Axis("cosine of h"),
    )
