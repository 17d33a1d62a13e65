"""X-CLR: all images attract each other, by how alike their classes are.

Source: Sobal et al. 2024, arXiv:2407.18134, section 3.
"""

from pathlib import Path

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SimilarClass, similarities
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["xclr"]


@recipe
def xclr(
    facts: Facts,
    encoder: Encoder,
    *,
    graph: str | None = None,  # file of the classes' descriptions (.txt) or vectors (.npy, .csv); none: all unlike
    graph_temperature: float = 0.1,  # dimensionless, divides a similarity of classes
    temperature: float = 0.1,  # dimensionless, divides a cosine
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """NT-Xent towards soft targets: the softmax over the batch of the similarities of classes.

    Deviation: the paper compares captions with a frozen sentence encoder. Its vectors come from a file here, one row
    for each class; without an encoder descriptions in words may do, which are compared by the words that they share.
    Without a file it is SupCon with a little attraction, exp(-1 / graph_temperature), between all classes. AdamW in
    place of LARS, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    if graph is not None:
        graph = str(Path(graph).expanduser().absolute())
        similarities(graph, facts.classes)
    return Recipe(
        pairing=SimilarClass(facts.classes, graph, graph_temperature),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width, batch_norm=False)),
        negatives=InBatch(),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
