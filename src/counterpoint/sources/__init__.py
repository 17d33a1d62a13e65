"""Where images come from: each source is a frozen dataclass whose `load` answers with a `Dataset`."""

from counterpoint.sources.arrays import Arrays
from counterpoint.sources.catalogue import lookup, names
from counterpoint.sources.cifar import Cifar
from counterpoint.sources.digits import Digits
from counterpoint.sources.folder import Folder
from counterpoint.sources.given import hold_out, image_files, read_files, read_images
from counterpoint.sources.idx import Idx
from counterpoint.sources.ondemand import joined
from counterpoint.sources.parquet import Parquet
from counterpoint.sources.pixels import fit_images, in_channels, measure
from counterpoint.sources.stl10 import Stl10
from counterpoint.sources.storage import Storage, bytes_of, storing, told

__all__ = [
    "Arrays",
    "Cifar",
    "Digits",
    "Folder",
    "Idx",
    "Parquet",
    "Stl10",
    "Storage",
    "bytes_of",
    "fit_images",
    "hold_out",
    "image_files",
    "in_channels",
    "joined",
    "lookup",
    "measure",
    "names",
    "read_files",
    "read_images",
    "storing",
    "told",
]
