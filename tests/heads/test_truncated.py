import pytest
import torch

from counterpoint.errors import RecipeError
from counterpoint.heads import Head, Heads, Truncated
from counterpoint.types import Facts

FACTS = Facts("made", "objects", 3, 8, 16, width=6)


def test_the_first_dimensions_are_kept_and_the_rest_gets_no_gradient():
    head = Truncated(4).build(FACTS)
    h = torch.randn(5, 6, requires_grad=True)
    z = head(h)
    assert torch.equal(z, h[:, :4])
    z.square().sum().backward()
    assert (h.grad[:, :4] != 0).all()
    assert (h.grad[:, 4:] == 0).all()
    assert not list(head.parameters())
    assert Heads(Truncated(4)).width == 4
    assert isinstance(Truncated(4), Head)


def test_all_dimensions_are_the_representation():
    h = torch.randn(5, 6)
    assert torch.equal(Truncated(6).build(FACTS)(h), h)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [(lambda: Truncated(0), "at least 1 dimension"), (lambda: Truncated(7).build(FACTS), "keeps 7 dimensions")],
)
def test_mistakes_are_sentences(make, sentence):
    with pytest.raises(RecipeError, match=sentence):
        make()
