"""The views of an encoded batch, and what a view is to predict: the answers given for the others of its image."""

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.types import Rows

__all__ = ["by_view", "swapped"]


def by_view(tensor: Tensor, rows: Rows) -> dict[int, Tensor]:
    """The rows of each view; they are view-major, so that the first and the last name all."""
    first, last = rows.view[[0, -1]].tolist()
    return dict(zip(range(first, last + 1), tensor.chunk(last - first + 1), strict=True))


def swapped(
    answers: Sequence[Float[Tensor, "batch number"]], views: int
) -> Iterator[tuple[int, Float[Tensor, "batch number"], float]]:
    """For each view the mean answer of the other views that have one, and how many they are.

    A cross-entropy is linear in its target: one comparison with the mean, weighted by their number, is the sum of the
    comparisons with each.

    Args:
        answers: of the first views (the large crops), each summing to 1.
        views: how many there are, answered ones included.

    Raises:
        RecipeError: no view can learn from another.
    """
    if views < 2:
        raise RecipeError(
            "a view is to predict the answer of another view of its image, but there is one view only; take a policy "
            "of two views or more, for example multicrop-cifar"
        )
    whole = sum(answers[1:], answers[0]) / len(answers)
    for view in range(views):
        others = [answer for other, answer in enumerate(answers) if other != view]
        if len(others) == len(answers):
            yield view, whole, float(len(others))
        elif others:
            yield view, sum(others[1:], others[0]) / len(others), float(len(others))
