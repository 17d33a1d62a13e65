"""What each score means, for a reader who has not met it."""

__all__ = ["meaning"]

MEANINGS = {
    "knn_accuracy": "Share of test images whose class the most similar training images name rightly by vote.",
    "linear_probe": "Share of test images that a linear classifier on the embeddings names rightly.",
    "linear_probe_top5": "Share of test images whose class is among the five likeliest of the linear classifier.",
    "linear_probe_balanced": "Accuracy of the linear classifier, every class counting the same.",
    "few_label": "Accuracy of a linear classifier that saw the labels of only so many training images.",
    "recall_at_1": "Share of test images whose most similar other test image is of their class.",
    "recall_at_5": "Share of test images that have one of their class among the five most similar.",
    "recall_at_10": "Share of test images that have one of their class among the ten most similar.",
    "map_at_r": "How purely the most similar images are of the same class, as many as the class has; 1 is perfect.",
    "mrr": "One over the place of the first image of the same class among the similar ones, on average.",
    "auroc": "How often a pair of one class is more similar than a pair of two; 0.5 is guessing.",
    "eer": "Share of pairs taken wrongly where as many are taken for one class as are missed.",
    "nmi": "Agreement of clusters, found without labels, with the classes: 0 none, 1 perfect.",
    "ari": "Agreement of clusters with the classes, corrected for chance: 0 as by chance, 1 perfect.",
    "overlap": "How far the similarities within a class and between classes overlap: 0 apart, 1 alike.",
    "d_prime": "Distance of the similarities within and between classes, in their standard deviations.",
    "class_alignment": "Mean squared distance of two images of one class.",
    "view_alignment": "Mean squared distance of two random views of one image.",
    "uniformity": "How evenly the embeddings cover the sphere; the lower, the more evenly.",
    "effective_rank": "Over how many directions the embeddings spread, as if they did so evenly.",
    "rank_me": "The same, from the embeddings as they are, without taking away their mean.",
    "alpha_req": "How fast the spectrum falls; near 1 is said to serve best.",
    "dimensions": "How many directions carry more than a ten-thousandth of the strongest.",
    "gap_to_uniform": "How far uniformity is from that of points spread evenly over the sphere, its least.",
    "shared_information": "At least so many nats of what one view says of an image the other says too.",
    "mean_classifier_loss": "What it costs to tell two classes apart by their means; guessing costs 1.",
    "bound": "What Arora's theorem says that this loss can be at most; 1 or more promises nothing.",
    "bound_slack": "By how much the theorem's promise is above what was reached.",
    "moved_occlusion": "How far hiding a part of an image moves its embedding; 1 is as far as another image.",
    "moved_rotation": "How far turning an image moves its embedding; 1 is as far as another image.",
    "moved_illumination": "How far darkening an image moves its embedding; 1 is as far as another image.",
    "moved_instance": "How far apart two images of one class are; 1 is as far as any two.",
    "participation": "Over how many directions the spread is shared, the strongest counting most.",
}


def meaning(name: str) -> str:
    """One sentence on a score; empty for one that is not known.

    Args:
        name: of the measure; that of the projection ends with `_z`.
    """
    plain = name.removesuffix("_z")
    return MEANINGS.get("few_label" if plain.startswith("few_label") else plain, "")
