"""A made-up study with every kind of exhibit, and one with nothing to show."""

from pathlib import Path

import numpy as np
import torch

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Heat, Histogram, Pictures, Points, Section, Series, Table
from counterpoint.sources import Digits
from counterpoint.studies.study import Cell, Claim, Decision, Result, Results, Study

CLASSES = tuple("0123456789")
LETTERS = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")
LOSSES = ("cosine embedding", "triplet margin")
POLICIES = ("none", "pad, rotate, scale", "SimCLR")
SHARE = Axis("super-class test error", low=0.0, high=0.12, percent=True)


def rich(root: Path) -> tuple[Study, Results, dict[str, Decision]]:
    """Title, claims, cells and sections as a real study has them."""
    cells = [
        Cell({"method": method, "data": data}, "simclr", Digits(), "perceptron", seed=seed)
        for method in ("contrastive", "supervised")
        for data in ("MNIST", "EMNIST, 47 classes")
        for seed in range(5)
    ]
    every = [
        Result(
            cell, root / f"cell-{i:02d}-0f3a9c1e", {"classifier": {"error": 0.02 + i / 1000}}, seconds=741.0 + 13 * i
        )
        for i, cell in enumerate(cells[:-2])
    ]
    every[3] = Result(cells[3], every[3].folder, {}, "the evaluator super_class failed: 3 classes have no test image")
    every.append(Result(cells[-2], None, {}, "the loss was no longer a number at step 412; try a smaller lr"))
    every.append(Result(cells[-1], None, {}))
    study = Study(
        "hyperseparability",
        "Does contrast make every attribute readable?",
        (
            "A network trained by contrast never sees a label. The paper holds that its penultimate layer lets a "
            "linear classifier read not only the ten digits, but nearly any grouping of them: all 1,024 super-classes.",
            "The paper leaves open the activation, the learning rate and the strength of the elastic distortion; what "
            "was chosen stands under How it was run, and how far the answer depends on it in the last section.",
        ),
        "Nissani, “Hyper-separability in contrastive representations”, 2024, section 3 and table 1",
        tuple(cells),
        (),
        _claims(),
        lambda _: sections(),
    )
    return study, Results(tuple(every)), _decisions()


def _claims() -> tuple[Claim, ...]:
    undecided = lambda _: Decision("undecided")  # noqa: E731
    return (
        Claim(
            "mnist-below",
            "On MNIST nearly all super-classes of the contrastive net are read better than the ten digits themselves.",
            "section 3, figure 1",
            "93 %",
            "paper",
            "Share of the 1,024 super-class errors that lie below the multi-class error of the same net and seed.",
            "Held where the lower end of the interval over seeds is "
            "above one half; not held where the upper end is below it.",
            undecided,
        ),
        Claim(
            "supervised-below",
            "Of the supervised net only a minority of super-classes is read so well.",
            "section 3, figure 1",
            "23 %",
            "paper",
            "As above.",
            "Held where the upper end is below one half.",
            undecided,
        ),
        Claim(
            "elastic",
            "Elastic distortion alone is the best of the transformations, alone or in sequential pairs.",
            "section 3.1",
            "",
            "",
            "Multi-class test error of the ten-epoch linear classifier for each of ten policies.",
            "Held where elastic alone has the lowest mean error and the interval of the paired difference from the "
            "next best leaves zero out.",
            undecided,
        ),
        Claim(
            "gap",
            "The contrastive net needs fewer than a tenth of the labels <script>alert(1)</script> & keeps its lead.",
            "repository, notebook 4",
            "0.9712 accuracy",
            "repository",
            "Accuracy at 1 % of the labels.",
            "Held where the difference is above zero.",
            undecided,
        ),
        Claim(
            "layers",
            "Attributes live in the representation and not in the layers below it.",
            "section 4",
            "",
            "",
            "Mean super-class error at each layer.",
            "Held where the representation has the lowest.",
            undecided,
        ),
        Claim(
            "a-very-long-one",
            "Averyveryverylongwordwithoutanyplacetobreakwhichsomeonewillwritesomeday in a claim.",
            "",
            "",
            "",
            "",
            "",
            undecided,
        ),
    )


def _decisions() -> dict[str, Decision]:
    return {
        "mnist-below": Decision(
            "held",
            0.964,
            0.941,
            0.987,
            5,
            0.018,
            "+46.4 points above one half, d = 25.1",
            "In all five seeds more than nine in ten super-classes are read better than the digits.",
            unit="share",
        ),
        "supervised-below": Decision(
            "not held",
            0.712,
            0.655,
            0.769,
            5,
            0.046,
            "21.2 points above one half, d = 4.6",
            "The supervised net, too, reads most super-classes better: its own multi-class error "
            "is what differs, not the readability.",
            unit="share",
        ),
        "elastic": Decision(
            "undecided",
            -0.0012,
            -0.0041,
            0.0017,
            3,
            0.0012,
            "−0.12 points, d = −0.9",
            "Elastic with rotation is as good as elastic alone: three seeds do not tell them apart.",
            unit="points",
        ),
        "gap": Decision("held", 0.9688, 0.966, 0.9716, 3, 0.002, "d = 3.1", "It keeps its lead."),
        "layers": Decision("undecided", None, None, None, 0, None, "", "No cell with layers has finished."),
    }


def sections() -> tuple[Section, ...]:
    """Every kind of exhibit, as a study fills them."""
    draw = np.random.default_rng(0)
    return (
        _errors(draw),
        Section(
            "maps",
            "The maps of the contrastive cells fall into islands, those of none do not",
            ("Openings of t-SNE with the published settings, the first 1,000 test points of each cell.",),
            tuple(
                _map(f"{loss} · {policy} · {data}", CLASSES if data == "MNIST" else WORDS, draw, 2.0 + 2 * p)
                for data in ("MNIST", "CIFAR-10")
                for loss in LOSSES
                for p, policy in enumerate(POLICIES)
            ),
        ),
        _confused(draw),
        _relations(draw),
        Section(
            "pictures",
            "What the networks were shown",
            ("Two elastic distortions of one image are a pair.",),
            (_pictures(draw),),
        ),
        Section("verdicts", "An anchor that is taken", exhibits=(_long_table(),)),
    )


WORDS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _errors(draw: np.random.Generator) -> Section:
    edges = tuple(np.linspace(0, 0.12, 41).tolist())

    def counts(mean: float, spread: float, n: int) -> tuple[float, ...]:
        return tuple(np.histogram(draw.gamma((mean / spread) ** 2, spread**2 / mean, n), edges)[0].tolist())

    cases = [
        ("Contrastive, MNIST", 0.016, 0.006, 0.0231),
        ("Supervised, MNIST", 0.021, 0.007, 0.0187),
        ("Contrastive, EMNIST", 0.051, 0.012, 0.0893),
        ("Supervised, EMNIST", 0.062, 0.015, 0.0588),
    ]
    table = Table(
        "table-1",
        "Multi-class test error of the linear classifier",
        ("data", "method", "published", "test error", "low", "high", "below it", "seeds"),
        (
            ("MNIST", "contrastive", "2.1 %", 0.0231, 0.0219, 0.0243, 0.964, 5),
            ("MNIST", "supervised", "1.6 %", 0.0187, 0.0179, 0.0195, 0.712, 5),
            ("EMNIST, 47 classes", "contrastive", "8.4 %", 0.0893, None, None, 0.981, 1),
            ("EMNIST, 47 classes", "supervised", "—", float("nan"), None, None, None, 0),
        ),
        "Ten epochs, three seeds or more; the interval is Student’s over seeds.",
        ("test error", "low", "high", "below it"),
    )
    return Section(
        "super-classes",
        "Nearly every super-class is read better than the digits",
        ("Each super-class is a set of digits; a linear classifier tells whether an image’s digit is in it.",),
        (
            table,
            *(
                Histogram(
                    title,
                    "Errors of all super-classes; the line is the multi-class error of the same net.",
                    edges,
                    {"seed 0": counts(mean, spread, 1024)},
                    SHARE,
                    ((line, f"multi-class error {line * 100:.1f} %"),),
                )
                for title, mean, spread, line in cases
            ),
            Histogram(
                "Both nets in one box",
                "Their outlines differ.",
                edges,
                {"contrastive": counts(0.016, 0.006, 1024), "supervised": counts(0.021, 0.007, 1024)},
                SHARE,
                (
                    (
                        0.0231,
                        "multi-class error of the contrastive net after ten epochs of its classifier, five seeds",
                    ),
                    (0.0187, "of the supervised net"),
                ),
            ),
            Histogram(
                "At every layer",
                "From the pixels upwards.",
                edges,
                {
                    layer: counts(0.07 - 0.017 * i, 0.014, 1024)
                    for i, layer in enumerate(("pixels", "first hidden layer", "representation", "output"))
                },
                SHARE,
            ),
        ),
    )


def _map(title: str, classes: tuple[str, ...], draw: np.random.Generator, apart: float) -> Points:
    middle = draw.normal(size=(len(classes), 2)) * apart
    series = tuple(
        Series(
            name,
            *(tuple(v) for v in (middle[i] + draw.normal(size=(100, 2))).T.tolist()),
            tuple(f"test image {100 * i + k}" for k in range(100)),
        )
        for i, name in enumerate(classes)
    )
    return Points(title, "", series)


def _confused(draw: np.random.Generator) -> Section:
    def matrix(names: tuple[str, ...], right: float, each: int) -> tuple[tuple[float, ...], ...]:
        n = len(names)
        share = draw.dirichlet(np.full(n, 0.25), n) * (1 - right)
        share[np.arange(n), np.arange(n)] += right
        return tuple(tuple(map(float, row)) for row in np.round(share * each))

    few = [
        Heat(
            f"{loss} · {policy}",
            "",
            CLASSES if k == 0 else WORDS,
            CLASSES if k == 0 else WORDS,
            matrix(CLASSES, 0.9 - 0.1 * k, 1000),
            row_label="what it is",
            column_label="what it was taken for",
            confusion=True,
        )
        for k, loss in enumerate(LOSSES)
        for policy in POLICIES
    ]
    large = Heat(
        "47 classes of EMNIST",
        "Small letters that look like large ones are one class.",
        LETTERS,
        LETTERS,
        matrix(LETTERS, 0.86, 400),
        row_label="what it is",
        column_label="what it was taken for",
        confusion=True,
    )
    grid = Heat(
        "Strength of the distortion",
        "Test error of the linear classifier, one cell a setting.",
        ("σ = 2", "σ = 4", "σ = 6", "σ = 8"),
        ("α = 8", "α = 16", "α = 32", "α = 64"),
        (
            (0.031, 0.028, 0.025, None),
            (0.027, 0.0231, 0.0219, 0.034),
            (0.03, 0.024, 0.0222, 0.029),
            (0.04, 0.03, 0.028, 0.027),
        ),
        percent=True,
        row_label="σ in pixels",
        column_label="α in pixels",
    )
    signed = Heat(
        "Rank correlations",
        "Between attributes and policies.",
        ("holes", "stroke ends", "slant of the strokes"),
        ("elastic", "rotation", "re-size and translation"),
        ((0.81, -0.32, 0.05), (0.4, float("nan"), -0.66), (-0.9, 0.2, 0.0)),
    )
    return Section("confusion", "Fours are taken for nines, and little else", (), (*few, large, grid, signed))


def _relations(draw: np.random.Generator) -> Section:
    x = draw.uniform(0, 1, (3, 14))
    relation = Points(
        "Invariance against readability",
        "One mark for each attribute and policy.",
        tuple(
            Series(
                name,
                tuple(x[i].tolist()),
                tuple((0.9 - 0.4 * x[i] + draw.normal(size=14) * 0.05).tolist()),
                tuple(f"attribute {k}" for k in range(14)),
            )
            for i, name in enumerate(("elastic", "rotation", "tint with <jitter>"))
        ),
        Axis("invariance under the views", percent=True),
        Axis("balanced accuracy of the attribute", percent=True),
    )
    bars = Bars(
        "Accuracy of the twelve cells",
        "Bars are means over three seeds.",
        tuple(
            f"{loss} · {policy} · {data}" for data in ("MNIST", "CIFAR-10") for loss in LOSSES for policy in POLICIES
        ),
        {"faithful": tuple(0.9 - 0.04 * i for i in range(12)), "sound": (*(0.86 - 0.045 * i for i in range(11)), None)},
        Axis("accuracy", percent=True),
        {"sound": tuple(0.84 - 0.045 * i for i in range(12))},
        {"sound": tuple(0.88 - 0.045 * i for i in range(12))},
        {"faithful": tuple(0.92 - 0.04 * i for i in range(12))},
    )
    dots = Bars(
        "Policies by test error",
        "The axis does not begin at zero.",
        ("elastic", "rotation", "re-size", "translation"),
        {"test error": (0.021, 0.027, 0.031, 0.029)},
        Axis("test error", low=0.015, percent=True),
        {"test error": (0.019, 0.026, 0.028, 0.027)},
        {"test error": (0.023, 0.028, 0.034, 0.031)},
    )
    steps = tuple(float(i) for i in range(60))
    curves = Chart(
        "Density of valleys",
        "Lower is emptier.",
        tuple(
            Line(name, steps, tuple(float(np.exp(-i / (8 + 5 * k))) for i in range(60)), f"s-{k}")
            for k, name in enumerate(("contrastive", "supervised", "untrained"))
        ),
        Axis("iteration"),
        Axis("density"),
    )
    empty = Bars("Nothing has finished", "Its cells failed.", ("a", "b"), {"x": (None, float("nan"))}, Axis("accuracy"))
    return Section(
        "relations",
        "What the views vary is not what is lost",
        ("A rank correlation, with its interval over cells.",),
        (
            relation,
            Points(
                "Size of a super-class against its error",
                "",
                (_sizes(draw),),
                Axis("members"),
                Axis("test error", percent=True),
            ),
            bars,
            dots,
            empty,
            curves,
        ),
    )


def _sizes(draw: np.random.Generator) -> Series:
    size = draw.binomial(10, 0.5, 1024).astype(float)
    return Series(
        "super-classes", tuple(size), tuple((0.004 * size * (10 - size) / 4 + draw.gamma(4, 0.002, 1024)).tolist())
    )


def _pictures(draw: np.random.Generator) -> Pictures:
    from sklearn.datasets import load_digits

    images = torch.from_numpy((load_digits().images[:6] * 15.9).astype(np.uint8))
    rows = torch.stack([torch.roll(images, (k % 3 - 1, k // 3 - 1), (1, 2)) for k in range(9)], 1)
    return Pictures(
        "Pairs",
        "Left the image.",
        rows[:, :, None].contiguous(),
        tuple(f"a {n}" for n in range(6)),
        ("image", *(f"view {k}" for k in range(1, 9))),
    )


def _long_table() -> Table:
    rows = tuple((f"{i:010b}", bin(i).count("1"), 0.001 * (i % 31), i * 1.5e-6, i % 2 == 0, None) for i in range(120))
    return Table(
        "super-classes",
        "Every super-class",
        ("digits 9…0", "members", "test error", "mcc", "odd", "note"),
        rows,
        "The first 120.",
        ("test error",),
        folded=True,
    )


def bare(root: Path) -> tuple[Study, Results, dict[str, Decision]]:
    """Nothing finished, nothing claimed, exhibits without a value."""
    axis = Axis("x")
    hollow = (
        Histogram("h", "", (0.0,), {"a": ()}, axis),
        Histogram("h", "", (0.0, 1.0), {"a": (0.0,)}, axis),
        Points("p", "", (Series("a", (), ()),)),
        Points("p", "", (Series("a", (1.0,), (2.0,)),)),
        Points("p", "", (Series("a", (1.0,), (2.0,)),), axis, axis),
        Points("p", "", ()),
        Heat("m", "", (), (), ()),
        Heat("m", "", ("a",), ("a",), ((None,),)),
        Heat("m", "", ("a",), ("b",), ((0.0,),)),
        Heat("m", "", ("a",), ("a",), ((0.0,),)),
        Bars("b", "", (), {}, axis),
        Bars("b", "", ("a",), {"g": (0.0,)}, axis),
        Bars("b", "", ("x" * 300,), {"g" * 200: (-1.0,)}, Axis("", log=True)),
        Bars("b", "", ("x" * 300,), {"g" * 200: (-1.0,)}, Axis("")),
        Table("t", "t", (), ()),
        Table("u", "u", ("a",), ()),
        Pictures("p", "", torch.zeros(0, 3, 1, 4, 4, dtype=torch.uint8)),
        Chart("c", "", (), axis, axis),
    )
    study = Study("bare", "Nothing", (), "", (), (), (), lambda _: (Section("nothing", "Nothing", (), hollow),))
    return study, Results(()), {}
