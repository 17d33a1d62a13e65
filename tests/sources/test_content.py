import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import SourceError
from counterpoint.sources.content import digest, digests_of, sides


def contents(n: int) -> list[bytes]:
    return [digest(str(i).encode(), (1,)) for i in range(n)]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.sampled_from("abcdefgh"))), min_size=2, max_size=40),
    st.floats(0.01, 0.9),
    st.randoms(),
)
def test_ties_are_kept_and_order_does_not_matter(images, share, random) -> None:
    digests = [digest(bytes([i]), ()) for i, _ in images]
    groups = [group for _, group in images]
    if all(group is None for group in groups):
        groups = None
    try:
        made = sides(digests, share, "here", groups)
    except SourceError:
        # Only where everything is tied together, which plain label spreading finds as well.
        label = list(range(len(images)))
        for _ in images:
            for i, one in enumerate(images):
                for j, other in enumerate(images):
                    if one[0] == other[0] or (one[1] is not None and one[1] == other[1]):
                        label[i] = label[j] = min(label[i], label[j])
        assert len(set(label)) == 1
        return
    test = made.test.tolist()
    assert 0 < sum(test) < len(test)
    for (a, ga), sa in zip(images, test, strict=True):
        for (b, gb), sb in zip(images, test, strict=True):
            if a == b or (ga is not None and ga == gb):
                assert sa == sb
    if made.groups is not None:
        for number in made.groups.unique():
            assert made.test[made.groups == number].unique().numel() == 1
    order = list(range(len(images)))
    random.shuffle(order)
    again = sides([digests[i] for i in order], share, "here", groups and [groups[i] for i in order])
    assert again.test.tolist() == [test[i] for i in order]


def test_the_share_is_met_on_average() -> None:
    made = sides(contents(20_000), 0.2, "here")
    assert abs(float(made.test.double().mean()) - 0.2) < 0.012  # four standard deviations
    assert made.groups is None
    assert "20,000 images" in made.said


def test_more_images_move_nobody() -> None:
    before = sides(contents(500), 0.2, "here").test
    assert torch.equal(sides(contents(700), 0.2, "here").test[:500], before)


def test_no_test_side_on_request_and_bad_shares() -> None:
    assert not sides(contents(5), 0.0, "here").test.any()
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(SourceError, match="share"):
            sides(contents(5), share, "here")


def test_one_group_cannot_be_divided() -> None:
    with pytest.raises(SourceError, match="one group"):
        sides(contents(5), 0.2, "here", ["a"] * 5)
    with pytest.raises(SourceError, match="same pixels"):
        sides([b"x"] * 5, 0.2, "here")
    with pytest.raises(SourceError, match="has a group"):
        sides(contents(5), 0.2, "here", [None] * 5)


def test_digests_tell_pixels_and_shapes_apart() -> None:
    images = torch.randint(0, 256, (3, 3, 4, 6), dtype=torch.uint8)
    images[2] = images[0]
    a, b, c = digests_of(images)
    assert a == c != b
    assert digests_of(images.reshape(3, 3, 6, 4))[0] != a
