import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from counterpoint.encoders import MLP, ConvNet, Pami, ResNet, Timm, ViT, default, lookup, names
from counterpoint.encoders.vit import _stretched
from counterpoint.errors import MissingExtra, RecipeError, ShapeError
from counterpoint.random import forked
from counterpoint.recipe import part_from_json, set_path
from counterpoint.types import Encoder, Facts


def facts(size: int = 32, channels: int = 3) -> Facts:
    return Facts(source="made", kind="objects", channels=channels, size=size, images=16)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def meta(encoder: Encoder, size: int = 32, channels: int = 3) -> nn.Module:
    """Built without memory: shapes and counts only."""
    with torch.device("meta"):
        return encoder.build(facts(size, channels))


@pytest.mark.parametrize(
    ("encoder", "size", "channels", "parameters"),
    [
        (MLP(), 28, 1, 784 * 400 + 400 + 400 * 400 + 400),
        (Pami(), 28, 1, 181_248),
        (Pami(), 32, 3, 181_504),
        (ResNet(18, stem="cifar"), 32, 3, 11_168_832),
        (ResNet(18, stem="cifar"), 32, 1, 11_168_832 - 2 * 64 * 9),
        (ResNet(18, stem="imagenet"), 32, 3, 11_176_512),
        (ResNet(34, stem="imagenet"), 32, 3, 21_284_672),
        (ResNet(50, stem="imagenet"), 224, 3, 23_508_032),
        (ResNet(50, stem="cifar"), 32, 3, 23_508_032 - 64 * 3 * (49 - 9)),
        # 12 blocks of 12 w^2 + 13 w, embedding, class token, positions, last norm.
        (ViT(192, 12, 3), 32, 3, 12 * (12 * 192**2 + 13 * 192) + 49 * 192 + (1 + 65 + 2) * 192),
        (ViT(384, 12, 6), 224, 3, 21_665_664),
    ],
)
def test_parameter_counts(encoder: Encoder, size: int, channels: int, parameters: int):
    assert count(meta(encoder, size, channels)) == parameters


@pytest.mark.parametrize(
    ("encoder", "size", "channels"),
    [
        *[(ConvNet(), size, channels) for size, channels in product((8, 16, 28, 29, 32, 48, 64, 96), (1, 3))],
        *[(Pami(), size, 1) for size in (18, 28, 32, 33)],
        (MLP((30, 20)), 8, 1),
        (MLP(), 28, 3),
        (ResNet(18), 8, 1),
        (ResNet(18), 72, 3),
        *[(ViT(48, 2, 3), size, channels) for size, channels in product((8, 28, 32, 64), (1, 3))],
    ],
)
def test_the_width_is_known_before_building(encoder: Encoder, size: int, channels: int):
    module = encoder.build(facts(size, channels))
    h = module(torch.randn(4, channels, size, size))
    assert h.shape == (4, encoder.width)
    assert bool(torch.isfinite(h).all())
    h.square().sum().backward()
    still = [name for name, p in module.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert still == []


def test_pami_answers_in_0_1():
    h = Pami().build(facts(28, 1))(torch.randn(8, 1, 28, 28) * 3)
    assert bool(((h > 0) & (h < 1)).all())


def test_mlp_is_the_last_hidden_layer_after_its_relu():
    module = MLP((6, 5)).build(facts(4, 1))
    assert [type(layer).__name__ for layer in module.children()] == ["Flatten", "Linear", "ReLU", "Linear", "ReLU"]
    h = module(torch.randn(32, 1, 4, 4))
    assert bool((h >= 0).all())
    assert bool((h == 0).any())


def test_mlp_takes_another_activation_and_keeps_what_was_stored_without_one():
    h = MLP((6, 5), "tanh").build(facts(4, 1))(torch.randn(32, 1, 4, 4) * 9)
    assert bool((h < 0).any())
    assert bool((h.abs() <= 1).all())
    assert part_from_json({"part": "counterpoint.encoders:MLP", "hidden": [6, 5]}) == MLP((6, 5), "relu")
    with pytest.raises(RecipeError, match="got 'elu'"):
        set_path(MLP(), "activation", "elu")


@pytest.mark.parametrize(("stem", "size", "small"), [("auto", 64, True), ("auto", 65, False), ("cifar", 128, True)])
def test_the_stem_of_a_resnet(stem: str, size: int, small: bool):
    module = meta(ResNet(18, stem=stem), size)  # type: ignore[arg-type]
    first = module.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    assert (first.kernel_size[0], first.stride[0], first.padding) == ((3, 1, (1, 1)) if small else (7, 2, (3, 3)))
    assert first.bias is None
    assert isinstance(module.get_submodule("maxpool"), nn.Identity if small else nn.MaxPool2d)


def test_a_resnet_starts_from_identity_blocks_where_asked():
    weights = ResNet(18, zero_init_residual=True).build(facts()).state_dict()
    assert not weights["layer1.0.bn2.weight"].any()
    assert ResNet(18).build(facts()).state_dict()["layer1.0.bn2.weight"].all()


@pytest.mark.parametrize(("size", "patch"), [(8, 1), (28, 4), (32, 4), (64, 8), (96, 12), (224, 16)])
def test_the_patch_of_a_vit_follows_the_size(size: int, patch: int):
    first = meta(ViT(12, 1, 3), size).get_submodule("conv_proj")
    assert isinstance(first, nn.Conv2d)
    assert first.stride == (patch, patch)


def test_a_vit_is_torchvisions_and_sees_views_of_another_size():
    from torchvision.models.vision_transformer import VisionTransformer

    module = ViT(48, 2, 3, patch=4).build(facts(32)).eval()
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(module(images), VisionTransformer.forward(module, images), rtol=0, atol=0)  # type: ignore[arg-type]
    positions = module.get_submodule("encoder").pos_embedding
    with torch.no_grad():
        # Where all positions of the grid are alike, stretching them changes nothing, and the class token keeps its own.
        positions[:, 1:] = positions[:, 1:2]
    small = module(images[..., :16, :24])
    assert small.shape == (3, 48)
    same = VisionTransformer(image_size=16, patch_size=4, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=192).eval()
    same.heads = nn.Identity()  # type: ignore[assignment]
    weights = {**module.state_dict(), "encoder.pos_embedding": positions.detach()[:, :17]}
    same.load_state_dict(weights)
    torch.testing.assert_close(module(images[..., :16, :16]), same(images[..., :16, :16]))


def test_positions_of_a_vit_are_stretched_in_place():
    """A slope along one side of the grid stays a slope along that side, and the middle stays in the middle."""
    module = ViT(4, 1, 1, patch=4).build(facts(32))
    positions = module.get_submodule("encoder").pos_embedding
    slope = torch.arange(8.0)[:, None].expand(8, 8)
    with torch.no_grad():
        positions[0, 1:, 0] = slope.flatten()
    half = _stretched(positions.detach(), 4, 8)[0, 1:, 0].view(4, 8)
    assert torch.equal(half, half[:, :1].expand(4, 8))
    assert bool((half.diff(dim=0) > 0).all())
    assert half[:, 0].mean().item() == pytest.approx(3.5)


@pytest.mark.parametrize("encoder", [MLP(), ConvNet(), Pami(), ViT(48, 2, 3)])
def test_weights_come_from_the_callers_seed(encoder: Encoder):
    def weights(seed: int) -> torch.Tensor:
        with forked(seed):
            return torch.cat([p.detach().flatten() for p in encoder.build(facts(28, 1)).parameters()])

    before = torch.random.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_conv_net_learns_digits():
    """25 steps: a floor far above chance, which is 0.1."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.from_numpy(data.images).float()[:, None] / 8 - 1
    y = torch.from_numpy(data.target).long()
    with forked(0):
        net = nn.Sequential(ConvNet().build(facts(8, 1)), nn.Linear(512, 10))
        optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
        for _ in range(25):
            rows = torch.randint(0, 1200, (128,))
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = float((net.eval()(x[1200:]).argmax(1) == y[1200:]).float().mean())
    assert accuracy > 0.85


# ---------------------------------------------------------------- by name


def test_every_name_finds_an_encoder():
    for name in names():
        if name.islower() and ":" not in name:
            encoder = lookup(name)
            assert isinstance(encoder, Encoder)
            assert encoder.width > 0
            assert f"width {encoder.width}" in names()[name]


@pytest.mark.parametrize(("kind", "size"), [("glyphs", 8), ("objects", 32), ("photos", 64), ("photos", 224)])
def test_the_default_is_a_name(kind: str, size: int):
    module = lookup(default(kind, size)).build(facts(size))
    assert isinstance(module, nn.Module)


@dataclass(frozen=True)
class Mine:
    width: int = 7

    def build(self, facts: Facts) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(facts.channels * facts.size**2, self.width))


def test_an_encoder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_parts.py").write_text(
        "class Mine:\n    width = 7\n    def build(self, facts): return None\n"
        "wide = Mine()\nwide.width = 9\n"
        "def needs(argument): ...\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert lookup("my_parts:Mine").width == 7
    assert lookup("my_parts:wide").width == 9
    for text, sentence in [
        ("my_parts:Mein", "has no attribute 'Mein'"),
        ("my_parts:needs", "without arguments"),
        ("my_parts:number", "is no encoder"),
        ("nowhere_at_all:Mine", "No module named 'nowhere_at_all'"),
        (":Mine", "MODULE:NAME"),
    ]:
        with pytest.raises(RecipeError, match=sentence):
            lookup(text)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: lookup("resnet81"), RecipeError, "unknown encoder 'resnet81'; did you mean 'resnet18'"),
        (lambda: lookup("conv", pretrained=True), RecipeError, "no pretrained weights"),
        (lambda: Pami().build(facts(64)), ShapeError, r"18 to 33 px \(28 and 32 .* have 64 px"),
        (lambda: ConvNet().build(facts(1)), ShapeError, "1 px"),
        (lambda: ViT(patch=5).build(facts(32)), RecipeError, "patches of 5 px .* 32 px"),
        (lambda: ViT().build(facts(37)), RecipeError, "37 px"),
        (lambda: ViT(width=100), RecipeError, "divide the width"),
        (lambda: MLP(()), RecipeError, "at least one width"),
    ],
)
def test_mistakes_are_sentences(make, error: type[Exception], sentence: str):
    with pytest.raises(error, match=sentence):
        make()


# ---------------------------------------------------------------- timm


def test_timm_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"counterpoint\[timm\]"):
        lookup("timm:not_asked_before")


@pytest.mark.parametrize(("name", "width", "size"), [("resnet10t", 512, 40), ("vit_tiny_patch16_224", 192, 64)])
def test_timm(name: str, width: int, size: int):
    pytest.importorskip("timm", reason="timm, an extra, is not installed")
    encoder = lookup(f"timm:{name}")
    assert encoder == Timm(name)
    assert lookup(f"timm:{name}", pretrained=True) == Timm(name, pretrained=True)
    assert encoder.width == width
    assert encoder.build(facts(size, 1))(torch.randn(2, 1, size, size)).shape == (2, width)
    with pytest.raises(RecipeError, match=r"did you mean 'resnet18"):
        lookup("timm:resnet_18")


def test_the_package_imports_nothing_heavy():
    code = "import sys, counterpoint.encoders; print(sorted({'torchvision', 'timm', 'sklearn'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
