"""A folder of every format and every damage: each image comes out right, each file that cannot is named."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import damage, formats, photo
from PIL import Image, ImageFile

from counterpoint.errors import SourceError
from counterpoint.sources import Folder, Parquet
from counterpoint.sources.decode import to_array

PHOTO = photo()
FORMATS = formats(PHOTO)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_comes_out_right(name: str) -> None:
    contents, expected, allowed = FORMATS[name]
    found = to_array(contents, None)[0].astype(int)
    assert found.shape == expected.shape
    worst = int(np.abs(found - expected).max())
    assert worst <= allowed, f"{worst} grey levels off"
    assert np.abs(found - expected).mean() <= allowed / 10 + 0.5
    grey = to_array(contents, None, 1)[0][..., 0]
    luma = np.asarray(Image.fromarray(found.astype(np.uint8)).convert("L"))
    assert np.abs(grey.astype(int) - luma).max() <= 1


def test_every_format_and_every_damage_in_one_folder(tmp_path: Path) -> None:
    for name, (contents, _, _) in FORMATS.items():
        (tmp_path / name).write_bytes(contents)
    reasons = damage(tmp_path, PHOTO)
    data = Folder(str(tmp_path), size=32, labels="none", bad_share=0.5).load()
    told = {one.name: one.reason for one in data.skipped}
    assert sorted(told) == sorted(reasons)
    for name, part in reasons.items():
        assert part in told[name], f"{name}: {told[name]}"
        assert "\n" not in told[name]
    assert sorted((*data.train.names, *data.test.names)) == sorted(FORMATS)
    with pytest.raises(
        SourceError, match=rf"{len(reasons)} of the {len(FORMATS) + len(reasons)} images .* --bad-share"
    ):
        Folder(str(tmp_path), size=32, labels="none").load()


def test_the_same_in_parquet(tmp_path: Path) -> None:
    good = {name: contents for name, (contents, _, _) in FORMATS.items()}
    folder = tmp_path / "bad"
    folder.mkdir()
    reasons = damage(folder, PHOTO)
    bad = {name: (folder / name).read_bytes() for name in reasons if (folder / name).is_file()}
    rows = [{"bytes": b, "path": name} for name, b in {**good, **bad}.items()]
    pq.write_table(pa.table({"image": [*rows, None]}), tmp_path / "all.parquet")
    data = Parquet(str(tmp_path / "all.parquet"), size=32, bad_share=0.5).load()
    told = {one.name: one.reason for one in data.skipped}
    assert sorted(told) == sorted([*bad, f"all.parquet:{len(rows)}"])
    assert all(reasons[name] in told[name] for name in bad)
    assert sorted((*data.train.names, *data.test.names)) == sorted(good)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for i in range(12):
        Image.fromarray(photo(i % 2, 20 + i, 30)).save(tmp_path / f"{i}.png")
    (tmp_path / "secret").mkdir()
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (one,) = Folder(str(tmp_path)).load().skipped
    assert (one.name, "Permission denied" in one.reason) == ("secret", True)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
def test_a_file_that_may_not_be_read_or_vanishes_is_named(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        Image.fromarray(photo(i % 2, 20 + i, 30)).save(tmp_path / f"{i}.png")
    real = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "7.png":
            raise error
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    (one,) = Folder(str(tmp_path)).load().skipped
    assert (one.name, one.reason) == ("7.png", error.strerror)


def test_a_folder_called_like_an_image_is_a_folder(tmp_path: Path) -> None:
    for i in range(8):
        path = tmp_path / f"{'ab'[i % 2]}.jpg" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photo(i % 2, 20 + i, 30)).save(path)
    data = Folder(str(tmp_path)).load()
    assert data.classes == ("a.jpg", "b.jpg")
    assert not data.skipped


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(SourceError, match=r"2.0 GiB are too many"):
        to_array(path, 8)


def test_a_large_honest_image_is_used() -> None:
    from photos import encoded

    wide = Image.fromarray(PHOTO).resize((9_600, 9_600), Image.Resampling.NEAREST)  # Pillow would warn from 89 million
    assert to_array(encoded(wide, "JPEG"), 16)[0].shape == (16, 16, 3)


def test_a_bad_share_is_a_share(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(photo(0, 20 + i, 30)).save(tmp_path / f"{i}.png")
    with pytest.raises(SourceError, match="bad_share=10 is not a share"):
        Folder(str(tmp_path), bad_share=10).load()


def test_truncated_is_refused_even_where_someone_told_pillow_to_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    from photos import encoded

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = encoded(Image.fromarray(PHOTO), "JPEG")
    with pytest.raises(SourceError, match="truncated"):
        to_array(whole[: len(whole) // 2], 8)
