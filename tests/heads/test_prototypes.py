"""The head of DINO: its layers, its cosines, its start."""

import pytest
import torch
from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.heads import Head, PrototypeHead
from counterpoint.types import Facts

FACTS = Facts(source="made", kind="objects", channels=3, size=8, images=16, width=24)


def test_outputs_are_cosines_of_the_bottleneck():
    torch.manual_seed(0)
    head = PrototypeHead((16, 16), 8, 12, batch_norm=True)
    assert isinstance(head, Head)
    assert head.width == 12
    made = head.build(FACTS)
    h = torch.randn(5, 24)
    low = made.get_submodule("mlp")(h)
    cosine = nn.functional.cosine_similarity(low[:, None], made.get_submodule("prototypes").weight[None], dim=2)
    torch.testing.assert_close(made(h), cosine, atol=1e-6, rtol=1e-5)
    kinds = [type(layer).__name__ for layer in made.get_submodule("mlp")]
    assert kinds == ["Linear", "BatchNorm1d", "GELU"] * 2 + ["Linear"]


def test_it_is_torchs_weight_norm_with_a_gain_of_one():
    torch.manual_seed(0)
    made = PrototypeHead((16,), 8, 12, learn_gain=True).build(FACTS).double()
    last = made.get_submodule("prototypes")
    theirs = nn.utils.parametrizations.weight_norm(nn.Linear(8, 12, bias=False).double())
    theirs.parametrizations.weight.original0.data.fill_(1.0)
    theirs.parametrizations.weight.original1.data.copy_(last.weight)
    low = nn.functional.normalize(torch.randn(5, 8, dtype=torch.float64), dim=1)
    torch.testing.assert_close(last(low), theirs(low))
    weights = torch.randn(5, 12, dtype=torch.float64)
    (last(low) * weights).sum().backward()
    (theirs(low) * weights).sum().backward()
    torch.testing.assert_close(last.weight.grad, theirs.parametrizations.weight.original1.grad)
    torch.testing.assert_close(last.gain.grad, theirs.parametrizations.weight.original0.grad[:, 0])


def test_parameters_at_the_papers_size():
    with torch.device("meta"):
        made = PrototypeHead().build(Facts("made", "photos", 3, 224, 16, width=384))
    linear = 384 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 256 + 256
    assert sum(p.numel() for p in made.parameters()) == linear + 256 * 65536


def test_linear_layers_start_small():
    torch.manual_seed(0)
    made = PrototypeHead((256, 256), 64, 12).build(FACTS)
    layers = [layer for layer in made.get_submodule("mlp") if isinstance(layer, nn.Linear)]
    for layer in layers:
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        assert (layer.bias == 0).all()


def test_one_prototype_is_none():
    with pytest.raises(RecipeError, match="give 2 prototypes or more"):
        PrototypeHead(out=1)
