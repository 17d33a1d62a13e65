import copy
import io

import pytest
import torch
from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.optim import LARS, SGD, Adam, AdamW, Group, Optim
from counterpoint.schedules import Constant, Cosine
from counterpoint.types import Clock


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))


def gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


def run(part: Optim, model: nn.Module, steps: int = 6, total: int = 6) -> torch.optim.Optimizer:
    optimizer = part.build(model)
    for step in range(steps):
        part.set_lr(optimizer, Clock(step, total, 2))
        gradients(model, step)
        optimizer.step()
    return optimizer


def lars_slow(model: nn.Module, part: LARS, steps: int = 6) -> None:
    """Plain loops over tensors, the equations of the specification one by one."""
    momentum = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for step in range(steps):
        gradients(model, step)
        lr = part.rate(Clock(step, steps, 2))
        for name, p in model.named_parameters():
            w, raw = p.data, p.grad
            assert raw is not None
            g, r = raw.clone(), 1.0
            if p.ndim > 1 or not part.exclude_bias_and_norm:
                g = raw + part.weight_decay * w
                if part.clip:
                    if w.norm() > 0 and raw.norm() > 0 and lr > 0:
                        ratio = w.norm() / (raw.norm() + part.weight_decay * w.norm() + part.eps)
                        r = min(part.trust * float(ratio) / lr, 1.0)
                elif w.norm() > 0 and g.norm() > 0:
                    r = part.trust * float(w.norm() / g.norm())
            if part.lr_in_momentum:
                momentum[name] = part.momentum * momentum[name] + lr * r * g
                p.data = w - momentum[name]
            else:
                momentum[name] = part.momentum * momentum[name] + r * g
                p.data = w - lr * momentum[name]


def same(a: nn.Module, b: nn.Module, **tolerance: float) -> None:
    for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, msg=lambda text, name=name: f"{name}: {text}", **(tolerance or {}))


def apart(a: nn.Module, b: nn.Module) -> float:
    return max(float((x - y).detach().abs().max()) for x, y in zip(a.parameters(), b.parameters(), strict=True))


# ---------------------------------------------------------------- LARS


@pytest.mark.parametrize("size", [4.0, 0.01, 1000.0])
def test_a_step_of_lars_has_the_norm_of_trust_times_weight(size: float):
    weight = nn.Parameter(torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    optimizer = LARS(1.0, trust=0.001).build([("weight", weight)])
    weight.grad = torch.tensor([[0.0, size], [0.0, 0.0]])
    before = weight.detach().clone()
    optimizer.step()
    assert float((weight.detach() - before).norm()) == pytest.approx(0.002, rel=1e-4)


@pytest.mark.parametrize(("grad", "moved"), [(0.01, 0.01 * 0.3), (100.0, 0.02 * 2.0)])
def test_clipped_lars_moves_no_further_than_sgd(grad: float, moved: float):
    weight = nn.Parameter(torch.tensor([[2.0, 0.0]]))
    optimizer = LARS(0.3, trust=0.02, clip=True).build([("weight", weight)])
    weight.grad = torch.tensor([[0.0, grad]])
    before = weight.detach().clone()
    optimizer.step()
    assert float((weight.detach() - before).norm()) == pytest.approx(moved, rel=1e-4)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("lr_in_momentum", [False, True])
@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("lr", [0.7, Cosine(0.7, warmup_epochs=1.0)])
def test_lars_equals_plain_loops(clip: bool, lr_in_momentum: bool, exclude: bool, lr: float | Cosine):
    part = LARS(
        lr, weight_decay=0.1, trust=0.05, clip=clip, lr_in_momentum=lr_in_momentum, exclude_bias_and_norm=exclude
    )
    fast, slow = net(), net()
    run(part, fast)
    lars_slow(slow, part)
    same(fast, slow, rtol=1e-5, atol=1e-6)
    assert apart(fast, net()) > 1e-3


def test_where_the_learning_rate_stands_matters_only_when_it_moves():
    inside, outside = net(), net()
    run(LARS(0.5, trust=0.05, lr_in_momentum=True), inside)
    run(LARS(0.5, trust=0.05), outside)
    same(inside, outside, rtol=1e-5, atol=1e-6)
    run(LARS(Cosine(0.5), trust=0.05, lr_in_momentum=True), inside)
    run(LARS(Cosine(0.5), trust=0.05), outside)
    assert apart(inside, outside) > 1e-3


def test_lars_leaves_vectors_plain():
    model = net()
    before = copy.deepcopy(model)
    optimizer = LARS(0.5, weight_decay=0.1).build(model)
    gradients(model, 0)
    optimizer.step()
    for p, was in zip(model.parameters(), before.parameters(), strict=True):
        if p.ndim == 1:
            torch.testing.assert_close(p, was - 0.5 * p.grad)


def test_lars_takes_zero_weights_and_zero_gradients():
    zero, still = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    for clip in (False, True):
        optimizer = LARS(1.0, clip=clip).build([("zero", zero), ("still", still)])
        zero.grad, still.grad = torch.ones(2, 2), torch.zeros(2, 2)
        optimizer.step()
        zero.data.zero_()
        torch.testing.assert_close(still, torch.ones(2, 2), rtol=0, atol=0)
        assert bool(torch.isfinite(zero).all())


def test_lars_passes_over_parameters_without_gradient():
    model = net()
    before = copy.deepcopy(model)
    LARS(1.0).build(model).step()
    assert apart(model, before) == 0


def test_lars_runs_a_closure():
    weight = nn.Parameter(torch.eye(2))
    optimizer = LARS(1.0).build([("weight", weight)])

    def closure() -> float:
        loss = weight.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 2.0
    assert float(weight.detach()[0, 0]) < 1


# ---------------------------------------------------------------- torch's own


@pytest.mark.parametrize(
    ("part", "theirs"),
    [
        (SGD(0.1, weight_decay=0.01), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01)),
        (SGD(0.1, momentum=0.0), lambda p: torch.optim.SGD(p, 0.1)),
        (SGD(0.1, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        (Adam(0.01, weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1)),
        (
            AdamW(0.01, weight_decay=0.1, betas=(0.5, 0.99), exclude_bias_and_norm=False),
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1, betas=(0.5, 0.99)),
        ),
    ],
)
def test_equal_to_torch(part: Optim, theirs):
    ours, other = net(), net()
    run(part, ours)
    optimizer = theirs(other.parameters())
    for step in range(6):
        gradients(other, step)
        optimizer.step()
    same(ours, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("part", "vectors_decay"),
    [(SGD(0.1, weight_decay=0.5), True), (AdamW(0.1), False), (LARS(0.1, weight_decay=0.5), False)],
)
def test_who_decays_follows_the_tradition(part: Optim, vectors_decay: bool):
    optimizer = part.build(net())
    decays = {p.ndim: group["weight_decay"] > 0 for group in optimizer.param_groups for p in group["params"]}
    assert decays == {1: vectors_decay, 2: True}


# ---------------------------------------------------------------- rates and groups


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 3)
        self.predictor = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def rates(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, float]:
    of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters()}


def test_a_schedule_moves_the_rate():
    part = LARS(Cosine(1.0, warmup_epochs=1.0), momentum=Constant(0.8), weight_decay=Constant(0.3))
    optimizer = part.build(net())
    assert {group["lr"] for group in optimizer.param_groups} == {0.0}
    part.set_lr(optimizer, Clock(55, 100, 10))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 0.5])
    assert {group["momentum"] for group in optimizer.param_groups} == {0.8}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.3}
    assert part.rate(Clock(55, 100, 10)) == pytest.approx(0.5)


def test_a_predictor_keeps_its_rate():
    model = Siamese()
    part = SGD(Cosine(0.1), groups=(Group("predictor", lr=0.1),))
    optimizer = part.build(model)
    part.set_lr(optimizer, Clock(50, 100, 10))
    found = rates(optimizer, model)
    assert found["encoder.weight"] == pytest.approx(0.05)
    assert {found[name] for name in found if name.startswith("predictor")} == {0.1}


def test_vectors_have_their_own_rate():
    model = Siamese()
    part = LARS(0.2, groups=(Group("predictor", lr_factor=10.0, weight_decay=0.7), Group(vectors=True, lr_factor=0.1)))
    optimizer = part.build(model)
    found = rates(optimizer, model)
    assert found["encoder.weight"] == pytest.approx(0.2)
    assert found["encoder.bias"] == pytest.approx(0.02)
    assert found["predictor.1.bias"] == pytest.approx(2.0)  # the first group that fits decides
    assert {group["weight_decay"] for group in optimizer.param_groups if group["group"] == 0} == {0.7}


def test_a_group_fits_whole_parts_of_a_name():
    weight = torch.zeros(2, 2)
    assert Group("predictor").fits("model.predictor.0.weight", weight)
    assert Group("model.predictor").fits("model.predictor.0.weight", weight)
    assert not Group("predict").fits("predictor.0.weight", weight)
    assert not Group(vectors=True).fits("predictor.0.weight", weight)


def test_frozen_parameters_are_left_out():
    model = Siamese()
    model.predictor.requires_grad_(False)
    optimizer = SGD(0.1).build(model)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


@pytest.mark.parametrize("part", [SGD(0.1), SGD(0.1, nesterov=True), LARS(0.1), Adam(0.1), AdamW(0.1)], ids=repr)
def test_what_was_frozen_at_first_thaws(part: Optim):
    """As if it had been alone: its first step is a first step."""
    late, alone = (nn.ParameterList([nn.Parameter(torch.ones(3)) for _ in range(count)]) for count in (2, 1))
    both, one = (part.build(held) for held in (late, alone))
    for step in range(4):
        for optimizer in (both, one):
            part.set_lr(optimizer, Clock(step, 4, 4))
        late[0].grad = torch.tensor([1.0, 2.0, 3.0])
        late[1].grad = alone[0].grad = None if step < 2 else torch.tensor([0.3, 0.2, 0.1]) * step
        both.step()
        one.step()
    assert torch.equal(late[1], alone[0])
    assert not torch.equal(late[1], torch.ones(3))


def test_clipping():
    def moved(clip_norm: float | None) -> float:
        weight = nn.Parameter(torch.zeros(2, 2))
        bias = nn.Parameter(torch.zeros(2))
        optimizer = SGD(1.0, momentum=0.0, clip_norm=clip_norm).build([("weight", weight), ("bias", bias)])
        weight.grad, bias.grad = torch.full((2, 2), 3.0), torch.full((2,), 4.0)
        optimizer.step()
        return float(torch.cat([weight.detach().flatten(), bias.detach()]).norm())

    whole = (4 * 9 + 2 * 16) ** 0.5
    assert moved(None) == pytest.approx(whole)
    assert moved(2.0) == pytest.approx(2.0, rel=1e-5)
    assert moved(100.0) == pytest.approx(whole)


# ---------------------------------------------------------------- resume, mistakes


@pytest.mark.parametrize(
    "part",
    [
        SGD(Cosine(0.1), nesterov=True),
        Adam(Cosine(0.1)),
        AdamW(Cosine(0.1)),
        LARS(Cosine(0.5), trust=0.05, weight_decay=0.1, clip=True),
        LARS(Cosine(0.5), trust=0.05, lr_in_momentum=True, groups=(Group("2", lr=0.1),)),
    ],
)
def test_resume_is_bit_identical(part: Optim):
    through = net()
    run(part, through, 6)
    stopped = net()
    optimizer = run(part, stopped, 3)
    file = io.BytesIO()
    torch.save({"model": stopped.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = net()
    resumed.load_state_dict(saved["model"])
    optimizer = part.build(resumed)
    optimizer.load_state_dict(saved["optimizer"])
    for step in range(3, 6):
        part.set_lr(optimizer, Clock(step, 6, 2))
        gradients(resumed, step)
        optimizer.step()
    assert apart(through, resumed) == 0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SGD(-0.1), r"SGD\(lr=-0.1\)"),
        (lambda: LARS(0.1, momentum=1.0), "momentum=1"),
        (lambda: LARS(0.1, trust=0.0), "trust=0"),
        (lambda: AdamW(0.1, weight_decay=-1.0), "weight_decay=-1"),
        (lambda: AdamW(0.1, betas=(0.9, 1.0)), "betas"),
        (lambda: AdamW(0.1, clip_norm=0.0), "clip_norm=0"),
        (lambda: SGD(0.1).build([]), "nothing to train"),
        (lambda: SGD(0.1, groups=(Group("predicter"),)).build(Siamese()), "did you mean 'predictor'"),
    ],
)
def test_mistakes_are_sentences(make, sentence: str):
    with pytest.raises(RecipeError, match=sentence):
        make()
