"""Every view against the others: which rows meet, over several views, after several passes, and over ranks."""

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import OtherViews
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

CONTEXT = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))
IMAGES = 3


def rows(views):
    nothing = torch.full((IMAGES,), -1)
    batch = Batch(torch.zeros(IMAGES, 1, 4, 4, dtype=torch.uint8), torch.arange(IMAGES), torch.arange(IMAGES), nothing)
    return Rows.of(batch, views)


def encoded(views, sign=1.0, predicted=False):
    """Rows that say who they are: [view, image], and a prediction with another sign."""
    who = rows(views)
    z = sign * torch.stack([who.view + 1, who.sample + 1], 1).float()
    return Encoded(torch.zeros(len(z), 2), z, who, -z if predicted else None)


def met(matches):
    """For each match the views that meet; images are checked to be the same."""
    found = []
    for match in matches:
        (group,) = match.columns
        anchors, columns = match.query.abs(), group.rows.abs()
        assert torch.equal(anchors[:, 1], columns[:, 1])
        assert torch.equal(anchors[:, 1], torch.arange(1.0, 1 + len(anchors)))
        block = group.relation.block(slice(0, len(anchors)), slice(0, len(columns)))
        assert torch.equal(block.target, torch.eye(len(anchors)))
        found.append((int(anchors[0, 0]) - 1, int(columns[0, 0]) - 1))
    return found


def match(part, online, keys, context=CONTEXT):
    return part.match(online, keys, SameSample(), Cosine(), None, context)


@pytest.mark.parametrize(
    ("part", "views", "expected"),
    [
        (OtherViews(), 2, [(0, 1), (1, 0)]),
        (OtherViews(both_ways=False), 2, [(0, 1)]),
        (OtherViews(gathered=True), 2, [(0, 1), (1, 0)]),
        (OtherViews(), 3, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]),
        (OtherViews(both_ways=False, gathered=True), 3, [(0, 1), (0, 2), (1, 2)]),
    ],
)
def test_every_view_meets_the_others(part, views, expected):
    online = encoded(views)
    assert met(match(part, online, online)) == expected
    assert part.seen(512, views) == 0
    assert part.build(Facts("made", "photos", 3, 8, 100)) is None


def test_the_target_may_have_seen_fewer_views():
    assert met(match(OtherViews(), encoded(3), encoded(2))) == [(0, 1), (1, 0), (2, 0), (2, 1)]


def test_views_are_told_by_their_names():
    """A target that answers for the second view alone."""
    keys = encoded(2)
    second = keys.rows.view == 1
    alone = Encoded(keys.h[second], keys.z[second], keys.rows.where(second))
    online = Encoded(keys.h[~second], keys.z[~second], keys.rows.where(~second))
    assert met(match(OtherViews(), online, alone)) == [(0, 1)]


def test_predictions_query_and_projections_answer():
    online = encoded(2, predicted=True)
    for one in match(OtherViews(), online, encoded(2)):
        assert (one.query < 0).all()
        assert (one.columns[0].rows > 0).all()


def test_one_view_is_a_sentence():
    with pytest.raises(RecipeError, match="take a policy of two views"):
        match(OtherViews(), encoded(1), encoded(1))


class _Twice(Comm):
    """Two ranks that hold the same."""

    def gather(self, t):
        return torch.cat([t, t])


def test_rows_of_all_ranks_only_where_asked():
    online, context = encoded(2), Context(Clock(0, 1, 1), _Twice(0, 2), Streams(0))
    (own, _), (all_rows,) = (
        match(OtherViews(), online, online, context),
        match(OtherViews(both_ways=False, gathered=True), online, online, context),
    )
    assert len(own.query) == len(own.columns[0].rows) == IMAGES
    assert len(all_rows.query) == len(all_rows.columns[0].rows) == 2 * IMAGES
