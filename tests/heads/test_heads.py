import pytest
import torch
from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.heads import Head, Heads, Identity, MLPHead
from counterpoint.types import Facts

W = 24


def facts(width: int = W) -> Facts:
    return Facts(source="made", kind="objects", channels=3, size=8, images=16, width=width)


def kinds(head: Head) -> list[str]:
    return [type(layer).__name__ for layer in head.build(facts()).children()]


def count(head: Head) -> int:
    return sum(p.numel() for p in head.build(facts()).parameters())


LINEAR_RELU = ["Linear", "ReLU", "Linear"]
WITH_NORM = ["Linear", "BatchNorm1d", "ReLU"]


@pytest.mark.parametrize(
    ("head", "layers", "parameters"),
    [
        pytest.param(MLPHead((), 8), ["Linear"], W * 8 + 8, id="moco v1"),
        pytest.param(MLPHead((W,), 8, batch_norm=False), LINEAR_RELU, W * W + W + W * 8 + 8, id="simclr v1, supcon"),
        pytest.param(
            MLPHead((W, W), 8, hidden_bias=False, final_bias=False, final_norm="batch"),
            [*WITH_NORM, *WITH_NORM, "Linear", "BatchNorm1d"],
            2 * (W * W + 2 * W) + W * 8 + 2 * 8,
            id="simclr v2",
        ),
        pytest.param(
            MLPHead((32,), 8, hidden_bias=False, final_bias=False, final_norm="batch_no_affine"),
            [*WITH_NORM, "Linear", "BatchNorm1d"],
            W * 32 + 2 * 32 + 32 * 8,
            id="moco v3",
        ),
        pytest.param(MLPHead((32,), 8), [*WITH_NORM, "Linear"], W * 32 + 32 + 2 * 32 + 32 * 8 + 8, id="byol, swav"),
        pytest.param(
            MLPHead((6,), W, hidden_bias=False),
            [*WITH_NORM, "Linear"],
            W * 6 + 2 * 6 + 6 * W + W,
            id="simsiam predictor",
        ),
        pytest.param(
            MLPHead((32, 32), 32, final_bias=False),
            [*WITH_NORM, *WITH_NORM, "Linear"],
            W * 32 + 32 * 32 * 2 + 2 * 32 + 4 * 32,
            id="vicreg",
        ),
        pytest.param(
            MLPHead((32,), 8, first_norm=True, final_norm="layer"),
            ["BatchNorm1d", "ReLU", *WITH_NORM, "Linear", "LayerNorm"],
            2 * W + W * 32 + 32 + 2 * 32 + 32 * 8 + 8 + 2 * 8,
            id="simlap",
        ),
        pytest.param(
            MLPHead((32,), 8, batch_norm=False, activation="gelu"),
            ["Linear", "GELU", "Linear"],
            W * 32 + 32 + 32 * 8 + 8,
            id="gelu",
        ),
    ],
)
def test_shapes_of_the_papers(head: MLPHead, layers: list[str], parameters: int):
    assert kinds(head) == layers
    assert count(head) == parameters
    assert head.build(facts())(torch.randn(5, W)).shape == (5, head.width)


@pytest.mark.parametrize(
    ("final", "mean", "std"), [("batch", 0.0, 1.0), ("batch_no_affine", 0.0, 1.0), ("layer", None, None)]
)
def test_a_final_norm_norms(final: str, mean: float | None, std: float | None):
    torch.manual_seed(0)
    z = MLPHead((16,), 8, final_norm=final).build(facts())(torch.randn(64, W) * 9 + 3)  # type: ignore[arg-type]
    axis = 0 if mean is not None else 1
    torch.testing.assert_close(z.mean(axis), torch.zeros(z.shape[1 - axis]), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(axis, unbiased=False), torch.ones(z.shape[1 - axis]), atol=1e-2, rtol=0)


def test_an_input_is_left_as_it_was():
    h = torch.randn(6, W)
    before = h.clone()
    MLPHead((8,), 4, batch_norm=False).build(facts())(h)
    assert torch.equal(h, before)


def test_identity_answers_with_its_input():
    h = torch.randn(3, W)
    assert Identity().build(facts())(h) is h
    assert Identity().width == 0


def test_the_predictor_follows_the_projector():
    heads = Heads(MLPHead((16,), 10), MLPHead((4,), 10))
    projector, predictor = heads.build(facts())
    assert predictor is not None
    assert predictor(projector(torch.randn(5, W))).shape == (5, 10)
    assert heads.width == 10


def test_a_predictor_without_projector_follows_the_encoder():
    heads = Heads(predictor=MLPHead((4,), 6))
    projector, predictor = heads.build(facts())
    assert isinstance(projector, nn.Identity)
    assert predictor is not None
    assert predictor(torch.randn(5, W)).shape == (5, 6)


def test_width_of_no_heads_at_all():
    assert Heads().width == 0
    assert Heads(MLPHead((), 3)).width == 3
    assert Heads(MLPHead((), 3), Identity()).width == 3
    assert Heads().build(facts())[1] is None


def test_heads_are_values():
    assert Heads(MLPHead((4,), 6)) == Heads(MLPHead((4,), 6))
    assert hash(Heads(MLPHead((4,), 6))) == hash(Heads(MLPHead((4,), 6)))
    assert isinstance(MLPHead((), 3), Head)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MLPHead((0,), 3), "each must be 1 or more"),
        (lambda: MLPHead((), 3).build(facts(0)), "width of its input"),
    ],
)
def test_mistakes_are_sentences(make, sentence: str):
    with pytest.raises(RecipeError, match=sentence):
        make()
