"""All images of a set, decoded to where there is room for them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from counterpoint.errors import SourceError
from counterpoint.sources import cache
from counterpoint.sources.decode import decoder_versions
from counterpoint.sources.ondemand import OnDemand
from counterpoint.sources.parallel import Decoded, Shelf, Tally, decode, reader, stream
from counterpoint.sources.places import default_root
from counterpoint.sources.storage import current, told
from counterpoint.types import Skipped

__all__ = ["check_skipped", "collect"]


def collect(
    shelf: Shelf, size: int, channels: int = 3, *, hashed: bool = False, together: int | None = None
) -> Decoded:
    """Decode all images of a set to where `sources.storing` says: into memory, to a cache file, or not for keeps.

    The pixels are the same bits in each case.

    Args:
        shelf: the encoded images.
        size: of the square, in pixels.
        channels: 1 or 3.
        hashed: also digest the pixels before the resize, for a split by content.
        together: images of the whole data set, where this is a part of it; the budget is for all.

    Raises:
        SourceError: there is no room.
    """
    storage = current()
    one = channels * size * size
    need = len(shelf.names) * one
    if storage.cache not in ("auto", "none"):
        return _cached(shelf, size, channels, hashed, Path(storage.cache).expanduser().absolute())
    budget = storage.budget
    if max(need, (together or 0) * one) <= budget:
        return decode(shelf.chunks(), shelf.names, size, channels, hashed=hashed)
    if storage.cache == "auto":
        return _cached(shelf, size, channels, hashed, default_root() / "decoded")
    if shelf.held > budget:
        raise SourceError(
            f"to decode {shelf.where} for each batch, its {told(shelf.held)} of encoded images must lie in memory, "
            f"more than the budget of {told(budget)}; leave out --cache none, or raise --memory"
        )
    storage.tell(f"  pixels   {told(need)} of {shelf.where} are beyond the {told(budget)} of memory: decoded each time")
    return _each_time(shelf, size, channels, hashed, "decoded for each batch")


def _each_time(shelf: Shelf, size: int, channels: int, hashed: bool, where: str) -> Decoded:
    """Decode all images once, to know which can be used; then again whenever they are asked for."""
    tally = Tally()
    for _, part in stream(shelf.chunks(), len(shelf.names), size, channels, hashed):
        tally.add(part)
    index = torch.tensor(tally.kept, dtype=torch.int64)
    images = OnDemand(reader(shelf, size, channels), index, (channels, size, size), where)
    return tally.decoded(images, shelf.names, hashed)


def _key(shelf: Shelf, size: int, channels: int, hashed: bool) -> str:
    """Of what decides the pixels: the format of the cache, the decoder, the settings, the encoded images."""
    settings = [cache.FORMAT, decoder_versions(), size, channels, hashed]
    key = hashlib.blake2b(json.dumps(settings).encode(), digest_size=12)
    for text in shelf.identity():
        key.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return key.hexdigest()


def _cached(shelf: Shelf, size: int, channels: int, hashed: bool, place: Path) -> Decoded:
    """From a cache file; written first where there is none."""
    storage = current()
    plain = "".join(c if c.isalnum() else "-" for c in Path(shelf.where).name)[:40] or "images"
    folder = place / f"{plain}-{size}px-{_key(shelf, size, channels, hashed)}"
    need = len(shelf.names) * channels * size * size
    found = cache.find(folder)
    if found is None and storage.dry_run:
        where = f"not stored in a dry run; {told(need)} would go to {folder}"
        return _each_time(shelf, size, channels, hashed, where)
    if found is None:
        with cache.written(folder, need, shelf.where) as part:
            if part is not None:
                _write(shelf, size, channels, hashed, part)
        found = cache.find(folder)
        if found is None:
            raise SourceError(f"the cache {folder} is gone, though it was just written; was it deleted? begin again")
    else:
        storage.tell(f"  cache    {told(found.images.nbytes)} from {folder}")
    stored = found.images
    images = OnDemand(
        lambda index: stored.index_select(0, index),
        torch.arange(len(stored)),
        (channels, size, size),
        f"in the cache {folder}",
    )
    tally = Tally(found.kept.tolist(), list(found.digests), list(found.reasons.items()))
    return tally.decoded(images, shelf.names, hashed)


def _write(shelf: Shelf, size: int, channels: int, hashed: bool, part: cache.Part) -> None:
    tally = Tally()
    for pixels, some in stream(shelf.chunks(), len(shelf.names), size, channels, hashed):
        part.add(pixels)
        tally.add(some)
    part.describe((channels, size, size), tally.kept, tally.digests, tally.reasons, shelf.where)


def check_skipped(skipped: Sequence[Skipped], total: int, bad_share: float, where: str) -> None:
    """Raise where more than a share of the images, or all but one, cannot be used."""
    if not 0 <= bad_share <= 1:
        raise SourceError(f"bad_share={bad_share:g} is not a share; give a number from 0 to 1")
    if not total:
        raise SourceError(f"{where} holds no image")
    good = total - len(skipped)
    if skipped and (len(skipped) > bad_share * total or not good):
        example = f"{skipped[0].name}: {skipped[0].reason}"
        raise SourceError(
            f"{len(skipped):,} of the {total:,} images of {where} cannot be used, more than the {bad_share:.0%} that "
            f"are passed over (the first is {example}); mend them, or raise --bad-share"
        )
    if good == 1:
        raise SourceError(f"{where} holds one image only; contrast needs at least two")
