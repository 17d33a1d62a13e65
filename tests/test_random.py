import pytest
import torch

from counterpoint.random import Streams, forked


def test_a_stream_is_a_function_of_seed_name_and_step():
    draws = Streams(3).at("views", 5).uniform(4, 2)
    assert torch.equal(draws, Streams(3).at("views", 5).uniform(4, 2))
    for other in (Streams(4).at("views", 5), Streams(3).at("order", 5), Streams(3).at("views", 6)):
        assert not torch.equal(draws, other.uniform(4, 2))


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_ranks_together_draw_what_one_process_draws(draw):
    whole = getattr(Streams(0).at("views", 1), draw)(6, 3)
    parts = [getattr(Streams(0, rank=r, world=3).at("views", 1), draw)(2, 3) for r in range(3)]
    assert torch.equal(whole, torch.cat(parts))
    integers = Streams(0).at("x").integers(0, 100, 6)
    assert torch.equal(integers, torch.cat([Streams(0, rank=r, world=2).at("x").integers(0, 100, 3) for r in range(2)]))


def test_every_rank_has_the_same_permutation():
    assert torch.equal(
        Streams(0, rank=1, world=2).at("order", 0).permutation(9), Streams(0).at("order", 0).permutation(9)
    )


def test_the_callers_generator_is_left_alone():
    before = torch.get_rng_state()
    Streams(0).at("views").uniform(3)
    with forked(7):
        inside = torch.rand(2)
    assert torch.equal(before, torch.get_rng_state())
    with forked(7):
        assert torch.equal(inside, torch.rand(2))
