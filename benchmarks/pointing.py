"""Do saliency maps point at what makes two images alike, and are they steady? Digits planted in clutter.

    python -m benchmarks.pointing

Pairs of images that share a digit, each pasted at a random place of a scene of shuffled pixels of other digits. A
small network has learned to name such digits; beside it one with random weights. The log's figures on saliency are
printed here.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint import sources
from counterpoint.encoders import ConvNet
from counterpoint.evaluation.resampling import Estimate
from counterpoint.evaluation.saliency import Maps, PairMaps, enlarged, pair_maps, score_maps, similarity_maps
from counterpoint.evaluation.saliency_quality import PointingGame, map_stability, plant, pointing_game, scrambled
from counterpoint.evaluation.watched import Watched, map_layer
from counterpoint.random import Stream, Streams, forked
from counterpoint.types import Facts, Split
from counterpoint.views import Brightness, Chain, ResizedCrop

SIDE, BATCH = 20, 128
COUNTS = (1, 2, 4, 8, 16, 32)


class Planted:
    """An encoder that learned to name digits in clutter, one that learned nothing, and pairs that share a digit."""

    def __init__(self, steps: int) -> None:
        digits, streams = sources.Digits().load(), Streams(0)
        with forked(0):
            facts = Facts("planted", "glyphs", 1, SIDE, len(digits.train))
            self.learned, self.control = (ConvNet(64, (16, 32), 16).build(facts) for _ in range(2))
            self.head = nn.Linear(64, 10)
        self._learn(digits.train, steps, streams)
        stream, labels = streams.at("test"), _labels(digits.test)
        index = stream.permutation(len(labels))[:240]
        order = index[labels[index].argsort(stable=True)]
        first, second = order[:-1], order[1:]  # neighbours in the order of classes
        same = labels[first] == labels[second]
        self.labels = labels[second[same]]
        self.anchors, _ = _scenes(digits.test, first[same], stream)
        self.images, self.inside = _scenes(digits.test, second[same], stream)
        with torch.no_grad():
            self.control.train()(self.images)  # its batch norms have met the data too
            self.accuracy = float((self.head(self.learned.eval()(self.images)).argmax(1) == self.labels).float().mean())

    def _learn(self, train: Split, steps: int, streams: Streams) -> None:
        optimizer = torch.optim.Adam([*self.learned.parameters(), *self.head.parameters()], 5e-3)
        fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for step in range(steps):
            stream = streams.at("train", step)
            index = stream.integers(0, len(train), BATCH)
            x, _ = _scenes(train, index, stream)
            loss = functional.cross_entropy(self.head(self.learned(x)), _labels(train)[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fall.step()

    def watched(self, encoder: nn.Module) -> Watched:
        """At its last map."""
        return Watched(encoder, map_layer(encoder, self.images[:1]))

    def game(self, maps: Callable[[Watched], Maps | PairMaps]) -> PointingGame:
        """Of both encoders."""
        learned, control = (
            enlarged(maps(self.watched(one)).maps, (SIDE, SIDE)) for one in (self.learned, self.control)
        )
        return pointing_game(learned, control, self.inside)

    def games(self) -> dict[str, PointingGame]:
        """Of all three kinds of maps."""

        def says(h: Tensor) -> Tensor:
            return self.head(h).gather(1, self.labels[:, None])[:, 0]

        anchors = self.anchors[:, None]
        return {
            "similarity, through both images": self.game(lambda network: pair_maps(network, self.images, anchors)),
            "similarity, detached": self.game(lambda network: similarity_maps(network, self.images, anchors)),
            "logit of the class": self.game(lambda network: score_maps(network, self.images, says)),
        }

    def crops(self, pairs: int, count: int) -> Tensor:
        """Views of the first anchors."""
        chain = Chain((ResizedCrop(SIDE, (0.5, 1.0)), Brightness()))
        some = self.anchors[:pairs].repeat_interleave(count, 0)
        return chain.apply(some, chain.draw(some, Stream(0))).unflatten(0, (-1, count))


def _labels(split: Split) -> Tensor:
    assert split.labels is not None
    return split.labels


def _scenes(split: Split, index: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
    assert isinstance(split.images, Tensor)
    objects = split.images.float() / 255
    return plant(objects[index], scrambled(objects, len(index), SIDE, stream), stream)


def _told(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def main() -> None:
    """Print both tables."""
    planted = Planted(steps=200)
    games = planted.games()
    some = next(iter(games.values()))
    print(f"{some.images} pairs of digits in clutter of {SIDE} px, of which {planted.accuracy:.3f} are named rightly;")
    print(f"a random place is on the digit with {some.chance:.2f}\n")
    print("| map | its largest place is on the digit | with random weights |\n|---|---|---|")
    for name, game in games.items():
        print(f"| {name} | {_told(game.score)} | {_told(game.control)} |")
    views = planted.crops(len(planted.images), 2 * max(COUNTS))
    print("\nRank correlation of two maps of an image, from disjoint crops of its anchor\n")
    print(f"| crops | {' | '.join(map(str, COUNTS))} |\n|---|{'---|' * len(COUNTS)}")
    for name, detach in (("through both images", False), ("detached", True)):
        steady = map_stability(planted.watched(planted.learned), planted.images, views, counts=COUNTS, detach=detach)
        print(f"| {name} | {' | '.join(f'{one.correlation.value:.3f}' for one in steady)} |")


if __name__ == "__main__":
    main()
