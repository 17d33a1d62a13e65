"""The images themselves are the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.types import Context, Encoded, Facts, State

__all__ = ["Pixels"]


@dataclass(frozen=True)
class Pixels:
    """The keys are the pixels of the one view that the network has seen, each image a row of numbers in [0, 1].

    What is matched is what a decoder made of h, so that the projector is as wide as an image has numbers. To the
    negatives the pixels are a second view of the image.

    Source: Hinton and Salakhutdinov 2006 (an autoencoder: a control, no contrast).
    """

    def build(self, facts: Facts, model: nn.Module) -> State | None:
        """It owns nothing."""
        return None

    def keys(
        self, model: nn.Module, state: State | None, views: Sequence[Tensor], online: Encoded, context: Context
    ) -> Encoded:
        """The pixels, as view 1.

        Raises:
            RecipeError: there are several views, or the projector has another width than an image.
        """
        if len(views) != 1:
            raise RecipeError(
                f"an image is compared with its own pixels, but it has {len(views)} views; take a policy of one view"
            )
        z = views[0].flatten(1)
        if z.shape[1] != online.z.shape[1]:
            raise RecipeError(
                f"an image has {z.shape[1]} numbers, but the decoder makes {online.z.shape[1]}; give the projector "
                f"that width, for example counterpoint.heads:MLPHead((512,), {z.shape[1]})"
            )
        return Encoded(online.h.detach(), z, replace(online.rows, view=torch.ones_like(online.rows.view)))
