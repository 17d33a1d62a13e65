"""Named parts of ImageNet, by the WordNet numbers that its folders are called after."""

from collections.abc import Mapping

__all__ = ["SUBSETS"]

SUBSETS: Mapping[str, tuple[str, ...]] = {
    # Chihuahua, toy terrier, Walker hound, English foxhound, Saluki, Chesapeake Bay retriever, Rottweiler, Doberman,
    # boxer, Great Dane: the ten breeds of Wu et al. 2024.
    "IN1P": (
        "n02085620", "n02087046", "n02089867", "n02089973", "n02091831",
        "n02099849", "n02106550", "n02107142", "n02108089", "n02109047",
    ),
    # Five cars, snakes, birds, dogs, and cats. Wu et al. 2024 name the five super-classes; which five classes of each
    # is our choice.
    "IN25": (
        "n02814533", "n02930766", "n03100240", "n04037443", "n04285008",  # wagon, cab, convertible, racer, sports car
        "n01728572", "n01728920", "n01729322", "n01729977", "n01734418",  # thunder, ringneck, hognose, green, king
        "n01514859", "n01530575", "n01531178", "n01532829", "n01534433",  # hen, brambling, goldfinch, finch, junco
        "n02085620", "n02099712", "n02106662", "n02110185", "n02113799",  # Chihuahua, Labrador, shepherd, husky, poodle
        "n02123045", "n02123159", "n02123394", "n02123597", "n02124075",  # tabby, tiger, Persian, Siamese, Egyptian cat
    ),
}  # fmt: skip
