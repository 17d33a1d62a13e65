"""Blocks and threads change nothing."""

import os

import pytest
import torch

from counterpoint.random import Stream
from counterpoint.views import blocks, named


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
