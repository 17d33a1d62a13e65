"""Augmented anchors: what the practicum's authors name as the next thing to try."""

from counterpoint.views import Views, named

__all__ = ["augmented"]


def augmented(policy: str, size: int, channels: int) -> Views:
    """A policy's last view twice: the anchor is drawn like the positive, and so is a negative, which is an anchor.

    Args:
        policy: by name, one of the practicum's, whose first view is the clean image.
        size: side of a view, in pixels.
        channels: of the images, 1 or 3.
    """
    return Views.twice(named(policy, size=size, channels=channels).policies[-1])
