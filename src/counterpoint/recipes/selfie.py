"""Selfie: some patches of an image are hidden; what the others show tells them apart.

Source: Trinh et al. 2019, arXiv:1906.02940, section 2.
"""

from counterpoint.encoders import ConvNet, Patched
from counterpoint.errors import RecipeError
from counterpoint.heads import AttentionPool, Heads, MLPHead
from counterpoint.negatives import SameImage
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import HiddenPatches
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Dot
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, named

__all__ = ["selfie"]


@recipe
def selfie(
    facts: Facts,
    encoder: Encoder,
    *,
    grid: int = 4,  # patches along a side; they do not overlap
    masked: int = 4,  # patches of an image that are hidden and have to be found
    width: int = 128,  # of a patch's z and of the attention
    layers: int = 3,  # of the attention
    policy: str | None = None,  # of the whole image, its first view; none: crop and flip, or glyphs
    batch_size: int = 256,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Softmax over the hidden patches of one image: (u + place) . z, with u pooled by attention over the visible ones.

    An image is embedded as the mean over its patches. Deviations: the patch network is the whole encoder, not the first
    blocks of one that is then fine-tuned; z is linear in h; AdamW with the square-root rule in place of momentum.
    """
    if not 2 <= grid <= facts.size // 2:
        raise RecipeError(
            f"selfie: grid is {grid}, but a patch has at least 2 px and an image {facts.size}; give 2 to "
            f"{facts.size // 2}, or larger images with --size"
        )
    patch = facts.size // grid
    size = patch * grid
    whole = named(policy or ("glyphs" if facts.kind == "glyphs" else "objects"), size=size, channels=facts.channels)
    return Recipe(
        pairing=HiddenPatches(masked),
        views=Views.tiled(whole.policies[0], patch, patch, size),
        encoder=Patched(encoder, patch, patch, facts.size if isinstance(encoder, ConvNet) else 0),
        heads=Heads(projector=MLPHead((), width), predictor=AttentionPool(grid**2, layers)),
        negatives=SameImage(masked),
        score=Dot(),
        objective=Contrast(1.0),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
