"""The study: its cells, what is asked of them, and what they decide."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from counterpoint import sources
from counterpoint.errors import RecipeError, nearest
from counterpoint.studies.study import Evaluator, Scale, Study
from counterpoint.studies.twelve_scenarios.answers import Protocol
from counterpoint.studies.twelve_scenarios.claims import claims_of
from counterpoint.studies.twelve_scenarios.grid import extension_cells, stand_ins, table_cells
from counterpoint.studies.twelve_scenarios.page import sections
from counterpoint.studies.twelve_scenarios.planes import Map, Volume
from counterpoint.studies.twelve_scenarios.scoring import Faithful, Sound
from counterpoint.studies.twelve_scenarios.unseen import Unseen
from counterpoint.types import Source

__all__ = ["twelve_scenarios"]

_BOTH: tuple[Protocol, ...] = ("faithful", "sound")
_EXTENSIONS = ("none", "core", "all")

_ABOUT = (
    "A practicum trained one small siamese net (181,248 parameters, 32 numbers in (0, 1) for each image) with two "
    "losses under three augmentations on two data sets, and asked what each choice is worth. This page runs all "
    "twelve again, sets them beside the published table, and decides every sentence that the practicum drew from it.",
    "Pairwise: the cosine embedding loss with margin 0, which pulls two views of an image to one direction and pushes "
    "an image of another class to a right angle. Triplet: the Euclidean margin loss, which asks that the other class "
    "is farther than the other view by 1. Both use labels, to know what another class is.",
    "Faithful is the practicum's protocol: the first 5,000 training images of each class, each with one positive and "
    "one negative that were drawn before training and never again; features of the test images with BatchNorm in "
    "training mode, in batches of 1,024 in the data's order; a logistic regression fitted on 8,000 of them and scored "
    "on the other 2,000; top-3 by a fit and a split of its own. Sound is what one would do today: all training "
    "images, positives and negatives drawn anew at each step, BatchNorm in evaluation mode, a linear probe fitted on "
    "training features and scored on the 10,000 test images. Neighbours are 30, Euclidean, of equal weight, in both.",
    "The source leaves open or contradicts: pairwise trained for 10 epochs (text and code) or 5 (results sheet): 10 "
    "here; the order of test images and the seeds; t-SNE's start and rate: principal components and 200 here. It "
    "scales pixels to [-1, 1]; here they are standardised with the mean and deviation of the training data, in both "
    "protocols, which changes the first layer's input by a shift and a factor. A pairwise step of 512 images has 512 "
    "positive and 512 negative pairs, the 1,024 pairs of the source's batch.",
)
_SMOKE = ("Embedded digits stand in for both data sets, and training lasts one epoch.",)


def _one_of(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise RecipeError(f"twelve-scenarios: {option} is {value!r}; {nearest(value, known)}")


def _data(name: str, place: str | Path | None, root: Path | None, folder: str) -> Source:
    return sources.lookup(name, root=place or (None if root is None else root / folder))


def _optional(place: str | Path | None, root: Path | None, *below: str) -> Path | None:
    """A given path, or the first below the root that exists."""
    if place is not None:
        return Path(place).expanduser().absolute()
    return next((root / path for path in below if root is not None and (root / path).exists()), None)


def twelve_scenarios(
    *,
    root: str | Path | None = None,
    mnist: str | Path | None = None,
    cifar10: str | Path | None = None,
    letters: str | Path | None = None,
    omniglot: str | Path | None = None,
    protocol: str = "both",
    extensions: str = "none",
    perplexities: bool = False,
    scale: Scale = "full",
    seeds: Sequence[int] = (0, 1, 2),
    faithful_seeds: int | None = None,
) -> Study:
    """Two losses x three augmentations x two data sets in two protocols, and what the authors name as next steps.

    Args:
        root: a folder with all data: mnist, cifar10, and where they are there emnist_letters and
            omniglot_small1/omniglot.npz.
        mnist: its own folder; None looks below the root, or where downloads go.
        cifar10: likewise.
        letters: folder of EMNIST letters, for classes never trained on; left out where there is none.
        omniglot: its .npz file, likewise.
        protocol: `faithful`, `sound` or `both`.
        extensions: `none`, `core` (as many runs as fit in about an hour on one core), or `all`.
        perplexities: also maps at the source's further perplexities and in three dimensions, of which the purity is
            shown.
        scale: `smoke` (digits in place of both, one epoch), `small` (1,000 images of each class) or `full`.
        seeds: of the twelve scenarios; extensions have the first only.
        faithful_seeds: so many of the seeds for the faithful protocol; None: all.

    Raises:
        CounterpointError: an option that is none, or a place without data.
    """
    _one_of("protocol", protocol, (*_BOTH, "both"))
    _one_of("extensions", extensions, _EXTENSIONS)
    seeds = tuple(seeds)
    if not seeds:
        raise RecipeError("twelve-scenarios needs at least one seed")
    below = None if root is None else Path(root).expanduser().absolute()
    if scale == "smoke":
        data = stand_ins()
    else:
        data = {name: _data(name, own, below, name) for name, own in (("mnist", mnist), ("cifar10", cifar10))}
    protocols = _BOTH if protocol == "both" else (cast(Protocol, protocol),)
    some = {"faithful": seeds[:faithful_seeds], "sound": seeds}
    cells = [cell for one in reversed(protocols) for cell in table_cells(one, data, some[one], scale)]

    letters_at = _optional(letters, below, "emnist_letters", "emnist-letters")
    omniglot_at = _optional(omniglot, below, "omniglot_small1/omniglot.npz", "omniglot.npz")
    alphabet = None if letters_at is None else sources.lookup("emnist:letters", root=letters_at)
    drawings = None
    if omniglot_at is not None:
        drawings = sources.lookup("arrays", root=omniglot_at, size=28, labels="alphabet/character", test_share=0.0)
    if extensions != "none":
        cells += extension_cells(data, alphabet, scale, seeds[0], every=extensions == "all")

    tsne = Map(further=(3.0, 10.0, 15.0, 25.0, 35.0, 50.0) if perplexities else ())
    volume = Volume()
    unseen = Unseen("digits")
    if scale == "smoke":
        tsne = replace(tsne, iterations=300, rows=200)
        volume = replace(volume, iterations=300, rows=200)
        unseen = replace(unseen, episodes=200, pairs=2000, rows=500, draws=10)
    others = {"letters": alphabet, "omniglot": drawings}
    asked = [replace(unseen, of=of, source=source) for of, source in others.items() if source is not None]
    evaluators: list[Evaluator] = [Sound(), Faithful(), Faithful("running"), tsne, replace(tsne, statistics="batch")]
    evaluators += [volume, replace(volume, statistics="batch")] if perplexities else []
    evaluators += [unseen, *asked]
    return Study(
        name="twelve-scenarios",
        title="Twelve scenarios: two losses, three augmentations, two data sets",
        about=(*(_SMOKE if scale == "smoke" else ()), *_ABOUT),
        source="a university practicum on siamese networks: its report, and code and results sheet of its repository",
        cells=tuple(cells),
        evaluators=tuple(evaluators),
        claims=claims_of(protocols),
        sections=sections,
    )
