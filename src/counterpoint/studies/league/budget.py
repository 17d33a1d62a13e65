"""Equal budgets: how many epochs a method gets, so that all see as many views.

A method that takes V views of an image gets epochs * 2 / V passes over the images, at least one: that of a method of
two views is `epochs`. Patches count by the pixels that they fill; passes of a moving average's network and the size of
a crop are not counted.

What that costs, on two cores with one thread for each of two runs. A step of SimCLR with `conv` on 512 images of 32
pixels takes .22 s. 25,000 images have 48 whole batches, 16 epochs 768 steps: 169 s a run, or 211 s with a quarter more
for second networks and small crops. Of 29 methods, the autoencoder among them, in runs of that length:

    CIFAR-10, 3 seeds         3.0
    Fashion-MNIST, 1 seed     0.8    28 pixels in place of 32, one channel
    6 trials of a quarter     1.5
    together                  5.3 x 29 x 211 s = 32,400 s

and of evaluations (probes, few labels, neighbours, 1,022 super-classes), by an estimate that awaits an idle machine,
4 x 29 x 70 s = 8,100 s, of trials 6 x 29 x 8 s = 1,400 s. That is 41,900 s of one core: 5.8 hours of two, which leaves
2.2 of eight for another study.
"""

__all__ = ["BATCH", "EPOCHS", "IMAGES", "QUARTER", "epochs_of"]

BATCH = 512  # images of a step
EPOCHS = 16  # of a method of two views
IMAGES = 25_000  # training images, equally many of each class
QUARTER = 0.25  # of the budget, for a trial


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
