"""CPC: what an image shows above tells which patch lies below, among patches of this image and of others.

Source: van den Oord et al. 2018, arXiv:1807.03748, equation 4 and section 3.2.
"""

from counterpoint.encoders import ConvNet, Patched, WithoutBatchNorm
from counterpoint.errors import RecipeError
from counterpoint.heads import CausalContext, Heads, MLPHead
from counterpoint.negatives import Ahead
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Dot
from counterpoint.types import Encoder, Facts
from counterpoint.views import Greyscale, Views, named

__all__ = ["cpc"]


@recipe
def cpc(
    facts: Facts,
    encoder: Encoder,
    *,
    grid: int = 5,  # patches along a side; each overlaps half of its neighbours; the paper's 7
    steps: int = 3,  # the furthest row down that is predicted; the paper's 5
    nearest: int = 1,  # the first; 2 leaves out the row that shares half its pixels with the context's own
    width: int = 128,  # of a patch's z and of its context
    policy: str | None = None,  # of the whole image, its first view; none: crop and flip, or glyphs
    batch_size: int = 64,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """InfoNCE of the products z^T W_k c, without temperature or normalisation.

    An image is embedded as the mean over its patches. Batch norms of the encoder become layer norms: they would carry
    news of the target into the context. Deviations: the paper has 7 x 7 patches of 64 px, five steps, a ResNet-101 of
    1024 numbers a patch without a projection, and Adam at 2e-4 on 32 x 16 images. Here the grid is smaller, since all
    patches of a batch are candidates and the loss costs the square of batch_size * grid^2; a patch is two of grid + 1
    parts of the side, z is linear in h, and of the jitter of patches only the loss of colour is kept.
    """
    if not 2 <= grid < facts.size:
        raise RecipeError(
            f"cpc: grid is {grid}, but a patch has at least 2 px, of which neighbours share one, and an image "
            f"{facts.size}; give 2 to {facts.size - 1}, or larger images with --size"
        )
    stride = facts.size // (grid + 1)
    size, patch = stride * (grid + 1), 2 * stride
    whole = named(policy or ("glyphs" if facts.kind == "glyphs" else "objects"), size=size, channels=facts.channels)
    grey = (Greyscale(0.2),) if facts.channels == 3 else ()
    trunk = Patched(WithoutBatchNorm(encoder), patch, stride, facts.size if isinstance(encoder, ConvNet) else 0)
    return Recipe(
        pairing=SameSample(),
        views=Views.tiled(whole.policies[0], patch, stride, size, grey),
        encoder=trunk,
        heads=Heads(projector=MLPHead((), width), predictor=CausalContext(grid, width)),
        negatives=Ahead(grid, steps, nearest),
        score=Dot(),
        objective=Contrast(1.0),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
