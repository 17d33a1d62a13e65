"""Equal budgets: how many epochs a method gets, so that all see as many views.

A method that takes V views of an image gets epochs * 2 / V passes over the images, at least one: that of a method of
two views is `epochs`. Patches count by the pixels that they fill; passes of a moving average's network and the size of
a crop are not counted.

What that costs, on two cores with one thread for each of two runs, beside other work, in hours of one core:

    tuning, 6 trials of half a budget 5.2
    CIFAR-10, 29 runs of a seed        .94   Selfie .14 and CPC .08 of them: a patch has a map as large as an image's
    reading them                       .25   probes, few labels, neighbours, 1,022 super-classes, the baselines once
    three seeds                       3.6
    Fashion-MNIST, one seed           1.2    as much as a seed of CIFAR-10; not run at this budget
    `negatives`, 177 runs             3.6

Together 13.6, that is 6.8 hours of two cores. At 16 epochs it was 9.6, and the 20 methods without labels were ranked
nearly alike (Spearman's rho .95), 2.5 points higher.
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
