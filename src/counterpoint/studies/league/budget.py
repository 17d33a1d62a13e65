"""Equal budgets: how many epochs a method gets, so that all see as many views.

A method that takes V views of an image gets epochs * 2 / V passes over the images, at least one: that of a method of
two views is `epochs`. Patches count by the pixels that they fill; passes of a moving average's network and the size of
a crop are not counted.

What that costs, on two cores with one thread for each of two runs, by the logs of a machine that did other work too, in
hours of one core:

    tuning, 6 trials of half a budget 4.7
    CIFAR-10, 29 runs of a seed       2.4    of two; Selfie .5 and CPC .2: a patch has a map as large as an image's
    reading them                       .3    probes, few labels, neighbours, 1,022 super-classes, the baselines once
    three seeds                       8.1
    Fashion-MNIST, one seed           2.7
    together                         15.5
    `negatives`, 177 runs             3.6

That is 9.6 hours of two cores beside other work. A step of SimCLR with `conv` on 512 images of 32 pixels took .29 s
there and takes .2 s on an idle machine (bfloat16), so that less is to be expected of one.
"""

__all__ = ["BATCH", "EPOCHS", "IMAGES", "TRIAL", "epochs_of"]

BATCH = 512  # images of a step
EPOCHS = 8  # of a method of two views
IMAGES = 25_000  # training images, equally many of each class
TRIAL = 0.5  # of the budget, for a trial of tuning


def epochs_of(views: int, epochs: float) -> int:
    """Passes over the images of a method that takes so many views of each.

    Args:
        views: of an image, at least 1.
        epochs: of a method of two views.

    Example:
        >>> [epochs_of(views, 16) for views in (1, 2, 3, 8)], epochs_of(10, 4)
        ([32, 16, 11, 4], 1)
    """
    return max(1, int(epochs * 2 / views + 0.5))
