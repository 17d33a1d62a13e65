"""Blocks and threads change nothing."""

import os
from dataclasses import dataclass
from threading import Thread

import pytest
import torch

from counterpoint.random import Stream
from counterpoint.views import (
    Chain,
    ColourJitter,
    Greyscale,
    HFlip,
    Merged,
    ResizedCrop,
    Sobel,
    as_float,
    blocks,
    named,
    names,
)


def photos(batch, side=32):
    return torch.randint(0, 256, (batch, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["simclr-cifar", "simclr-cifar-merged", "glyphs"])
def test_views_do_not_depend_on_the_number_of_threads(name, threads):
    """To the bit, though blocks are smaller where there are more threads."""
    views, images = named(name, size=32, channels=3), photos(100)
    seen = []
    for count in (1, 2, 3):
        threads(count)
        seen.append(views(images, Stream(1)))
        assert torch.get_num_threads() == count
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_views_can_be_made_where_nothing_is_differentiated(threads):
    threads(2)
    views, images = named("simclr-cifar", size=32, channels=3), photos(8)
    with torch.inference_mode():
        first, _ = views(images, Stream(0))
    assert first.is_inference()
    assert torch.equal(first, views(images, Stream(0))[0])


def test_an_error_in_a_block_reaches_the_caller(threads):
    threads(2)

    def fail(images, which):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        blocks.in_blocks(photos(4), (32, 32), fail)


@dataclass(frozen=True)
class Channels:
    """A user's operation that makes so many channels of any number."""

    count: int

    def after(self, height, width):
        return height, width

    def draw(self, images, stream):
        return ()

    def apply(self, images, drawn):
        return as_float(images).mean(1, keepdim=True).repeat(1, self.count, 1, 1)


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (3, 5)])
def test_an_operation_may_change_the_number_of_channels(before, after, threads):
    images = photos(7)[:, :before]
    chain, seen = Chain((HFlip(), Channels(after))), []
    for count in (1, 2):
        threads(count)
        seen.append(chain.apply(images, chain.draw(images, Stream(0))))
    assert seen[1].shape == (7, after, 32, 32)
    assert torch.equal(*seen)


@pytest.mark.parametrize("kind", [Chain, Merged])
def test_autocast_changes_no_view_on_any_number_of_threads(kind, threads):
    images, policy = photos(6), kind((ResizedCrop(16), HFlip(), ColourJitter(0.4, 0.4, 0.4, 0.1)))
    drawn = policy.draw(images, Stream(0))
    expected = policy.apply(images, drawn)
    for count in (1, 2):
        threads(count)
        with torch.autocast("cpu", torch.bfloat16):
            seen = policy.apply(images, drawn)
        assert seen.dtype == torch.float32
        assert torch.equal(seen, expected)


def gradient(policy, images, drawn, weight):
    leaf = images.clone().requires_grad_()
    view = policy.apply(leaf, drawn)
    (view * weight).sum().backward()
    return view.detach(), leaf.grad


JITTERED = (ResizedCrop(12), HFlip(), ColourJitter(0.3, 0.3, 0.3, 0.1, p=0.8), Greyscale(0.3))


@pytest.mark.parametrize(
    "policy",
    [
        Chain(JITTERED),
        Merged(JITTERED),
        ColourJitter(0.3, 0.3, 0.3, 0.1, p=0.8),
        Chain((Sobel(), Greyscale(0.5), ColourJitter(0.3, 0.3, 0.3, 0.1))),
    ],
    ids=["chain", "merged", "jitter", "overwritten"],
)
def test_gradients_are_the_slopes_on_any_number_of_threads(policy, threads, monkeypatch):
    """Each sample's slope along a random direction; images are muted, so that few values meet a kink."""
    monkeypatch.setattr(blocks, "BLOCK", 3 * 12 * 12 * 3)
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.4 * torch.rand(24, 3, 12, 12, generator=generator)
    along = torch.randn(images.shape, generator=generator)
    weight = torch.rand(24, 3, 12, 12, generator=generator)
    drawn, step = policy.draw(images, Stream(0)), 1e-4
    plain = policy.apply(images, drawn)
    made = []
    for count in (1, 2, 2, 2, 2, 2, 2, 2):
        threads(count)
        view, slope = gradient(policy, images, drawn, weight)
        torch.testing.assert_close(view, plain, atol=1e-6, rtol=0)
        made.append(slope)
    assert all(torch.equal(made[0], other) for other in made[1:])
    up, down = (policy.apply(images + sign * step * along, drawn) for sign in (1, -1))
    slopes = ((up - down) * weight).sum((1, 2, 3)) / (2 * step)
    error = ((made[0] * along).sum((1, 2, 3)) - slopes).abs()
    assert float(error.median()) < 0.02 * float(slopes.abs().mean())


@pytest.mark.parametrize("name", names())
def test_every_named_policy_has_a_gradient(name, threads):
    threads(2)
    images = as_float(photos(8)).requires_grad_()
    seen = named(name, size=32, channels=3)(images, Stream(0))
    sum(view.sum() for view in seen).backward()
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


def test_a_part_that_no_gradient_reaches_stands_in_its_place(threads):
    """What is learned may belong to the operation, and to some samples only."""
    threads(2)
    factor = torch.tensor(2.0, requires_grad=True)
    images = torch.arange(6.0).view(6, 1, 1, 1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])

    def compute(some, which):
        return some * factor if 0 in which else some + 0

    made = blocks.in_blocks(images, (1, 1), compute, order)
    expected = [0, 1, 2, 6, 4, 10]
    assert made.flatten().tolist() == expected
    made.sum().backward()
    assert float(factor.grad) == 0 + 3 + 5


def test_where_no_further_thread_can_be_started_one_computes(threads, monkeypatch):
    views, images = named("simclr-cifar", size=32, channels=3), photos(8)
    threads(1)
    expected = views(images, Stream(0))[0]
    start = Thread.start

    def refused(thread):
        if thread.name == "views_1":
            raise RuntimeError("can't start new thread")
        start(thread)

    blocks._pool.cache_clear()
    monkeypatch.setattr(Thread, "start", refused)
    threads(2)
    assert torch.equal(views(images, Stream(0))[0], expected)
    assert torch.get_num_threads() == 2
    blocks._pool.cache_clear()


def test_a_thread_that_does_not_come_is_not_waited_for_for_ever(threads, monkeypatch):
    views, images = named("simclr-cifar", size=32, channels=3), photos(8)
    threads(1)
    expected = views(images, Stream(0))[0]
    start = Thread.start
    monkeypatch.setattr(Thread, "start", lambda thread: None if thread.name == "views_1" else start(thread))
    monkeypatch.setattr(blocks, "PATIENCE", 0.1)
    blocks._pool.cache_clear()
    threads(2)
    assert torch.equal(views(images, Stream(0))[0], expected)
    blocks._pool.cache_clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    threads(2)
    views, images = named("objects", size=32, channels=3), photos(8)
    expected = views(images, Stream(0))[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(views(images, Stream(0))[0], expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
