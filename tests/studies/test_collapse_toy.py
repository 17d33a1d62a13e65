"""Both linear networks of Jing et al. 2022."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from counterpoint.errors import RecipeError
from counterpoint.studies.dimensional_collapse.toy import (
    TEMPERATURE,
    _descend,
    collapse_by_augmentation,
    collapse_by_depth,
)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_step_is_that_of_autograd(layers):
    generator = torch.Generator().manual_seed(layers)
    made = [torch.randn(16, 16, generator=generator, dtype=torch.float64) / 4 for _ in range(layers)]
    bias = torch.randn(16, generator=generator, dtype=torch.float64) if layers == 1 else None
    views = [torch.randn(32, 16, generator=generator, dtype=torch.float64) for _ in range(2)]
    leaves = [w.clone().requires_grad_() for w in (*made, *([] if bias is None else [bias]))]
    out = []
    for view in views:
        for weight in leaves[:layers]:
            view = view @ weight.T
        out.append(view if bias is None else view + leaves[-1])
    loss = cross_entropy(out[0] @ out[1].T / TEMPERATURE, torch.arange(32))
    slopes = torch.autograd.grad(loss, leaves)
    expected = [leaf.detach() - 0.01 * slope for leaf, slope in zip(leaves, slopes, strict=True)]
    _descend(made, bias, *views, 0.01)
    for found, wanted in zip((*made, *([] if bias is None else [bias])), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-10)


def test_strong_augmentation_collapses_the_directions_that_it_touches():
    weak = collapse_by_augmentation(0.01, steps=2000)
    strong = collapse_by_augmentation(1.5, steps=2000)
    assert int(weak.collapsed()[-1]) == 0
    assert int(strong.collapsed()[-1]) == 8
    values = strong.embedding[-1]
    assert float(values[7] / values[8]) > 8, "a cliff after the directions without noise"
    assert float(strong.collapsed(0.02)[-1]) < 8, "they keep a little: the loss of inner products has its balance there"
    few = collapse_by_augmentation(1.5, noisy=3, steps=2000)
    assert int(few.collapsed()[-1]) == 3


def test_the_deeper_network_leaves_weak_directions_behind():
    one, two = (collapse_by_depth(2, as_one=as_one, steps=2000) for as_one in (True, False))
    assert torch.allclose(one.embedding[0], two.embedding[0], atol=1e-6), "both start from the same"
    assert one.layers.shape == (21, 1, 16)
    assert int(one.collapsed()[-1]) == 0
    assert 4 <= int(two.collapsed()[-1]) < int(two.collapsed()[0]) == int(one.collapsed()[0])
    assert float(two.embedding[-1, -1] / two.embedding[-1, 0]) < 1e-6
    assert two.layers.shape == (21, 2, 16)
    assert two.step.tolist() == list(range(0, 2001, 100))
    assert one.overlap is None
    assert two.overlap is not None
    start, end = (float(look[-6:, -6:].square().sum() / 6) for look in (two.overlap[0], two.overlap[-1]))
    assert end > 0.95 > 0.6 > start, "the directions left behind are the same in both layers"


@pytest.mark.slow
def test_the_published_number_of_steps():
    assert int(collapse_by_augmentation(0.01).collapsed()[-1]) == 0
    assert int(collapse_by_augmentation(1.5).collapsed()[-1]) == 8
    assert int(collapse_by_depth(2, as_one=True).collapsed()[-1]) == 0
    assert int(collapse_by_depth(2).collapsed()[-1]) >= 2


def test_the_seed_decides():
    first, again, other = (collapse_by_depth(steps=50, every=20, seed=seed) for seed in (0, 0, 1))
    assert first.step.tolist() == [0, 20, 40, 50]
    assert torch.equal(first.embedding, again.embedding)
    assert not torch.equal(first.embedding, other.embedding)


def test_errors_are_sentences():
    with pytest.raises(RecipeError, match="0 to 16"):
        collapse_by_augmentation(noisy=17)
    with pytest.raises(RecipeError, match="1 or more"):
        collapse_by_depth(0)
    with pytest.raises(RecipeError, match="noise of -1"):
        collapse_by_augmentation(-1.0, noisy=0)
    with pytest.raises(RecipeError, match="noise of nan"):
        collapse_by_depth(noise=float("nan"))
    with pytest.raises(RecipeError, match="0 steps"):
        collapse_by_depth(steps=0)
