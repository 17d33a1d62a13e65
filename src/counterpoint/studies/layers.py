"""What each layer of a frozen net makes of images."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from counterpoint.model import Model
from counterpoint.types import Images
from counterpoint.views import as_float

__all__ = ["layers"]


@torch.no_grad()
def layers(
    model: Model, images: Shaped[Tensor, "image channel height width"] | Images, *, batch: int = 1024
) -> dict[str, Float[Tensor, "image _"]]:
    """Pixels, `hidden 1`, `hidden 2`, …, the representation `h` and the projection `z`, float32 on the CPU, by name.

    Hidden layers are what comes out of each activation of a fully connected encoder before its last one, which is h; of
    other encoders there are none. Without a projector there is no z. A tensor of pixels is what the net is given,
    before normalisation.

    Args:
        model: read in evaluation mode, and left in the mode it was in.
        images: uint8, or float in [0, 1].
        batch: images of a forward pass.
    """
    device, training = model.normalise.mean.device, model.training
    model.eval()
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), batch):
        x = as_float(images[start : start + batch].to(device))
        for name, rows in _through(model, x):
            parts.setdefault(name, []).append(rows.flatten(1).float().cpu())
    model.train(training)
    return {name: torch.cat(rows) for name, rows in parts.items()}


def _through(model: Model, x: Tensor) -> list[tuple[str, Tensor]]:
    found = [("pixels", x)]
    rows, encoder = model.normalise(x), model.towers.get_submodule("encoder")
    if isinstance(encoder, nn.Sequential):
        for layer in encoder:
            rows = layer(rows)
            if isinstance(layer, nn.ReLU | nn.Tanh):
                found.append((f"hidden {len(found)}", rows.clone()))
        if isinstance(encoder[-1], nn.ReLU | nn.Tanh):
            found.pop()
    else:
        rows = encoder(rows)
    found.append(("h", rows))
    projector = model.towers.get_submodule("projector")
    if any(True for _ in projector.parameters()):
        found.append(("z", projector(rows)))
    return found
