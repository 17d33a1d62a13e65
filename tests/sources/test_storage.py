"""Where pixels lie makes no difference to what they are."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made import noise, png, save

from counterpoint.errors import SourceError
from counterpoint.sources import Folder, Parquet, Storage, bytes_of, hold_out, joined, measure, storing
from counterpoint.sources import cache as cache_files
from counterpoint.sources.content import digests_of
from counterpoint.sources.ondemand import OnDemand
from counterpoint.sources.storage import available_memory
from counterpoint.types import Images, Split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, picture in enumerate(noise(30, 18, 24, 3)):
        save(tmp_path / "set" / "ab"[i % 2] / f"{i:02}.png", picture)
    (tmp_path / "set" / "a" / "bad.jpg").write_bytes(b"")
    return tmp_path / "set"


def loaded(source, **storage):
    with storing(Storage(**storage)):
        return source.load()


def entries(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if not path.name.startswith("."))


def same(one, other) -> None:
    for side in ("train", "test"):
        a, b = getattr(one, side), getattr(other, side)
        assert torch.equal(a.images[:], b.images[:])
        assert a.names == b.names
        assert a.labels is b.labels is None or torch.equal(a.labels, b.labels)
        assert torch.equal(torch.stack(list(a.images)), b.images[torch.arange(len(b))])
    assert one.skipped == other.skipped
    assert (one.split, one.classes) == (other.split, other.classes)


@pytest.mark.parametrize("kind", ["folder", "own split", "parquet"])
def test_memory_cache_and_on_the_fly_hold_the_same_bits(kind: str, folder: Path, tmp_path: Path) -> None:
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [png(one) for one in noise(40, 20, 20, 3)]
        rows[3] = b"no image"
        pq.write_table(pa.table({"image": rows, "label": [i % 3 for i in range(40)]}), tmp_path / "a.parquet")
        source = Parquet(str(tmp_path / "a.parquet"), size=64)
    elif kind == "own split":
        for side in ("train", "test"):
            shutil.copytree(folder, tmp_path / "own" / side)
        source = Folder(str(tmp_path / "own"), size=16)
    else:
        source = Folder(str(folder), size=16)
    memory = loaded(source)
    assert isinstance(memory.train.images, torch.Tensor)
    written = loaded(source, memory=100, cache=str(tmp_path / "cache"))
    again = loaded(source, cache=str(tmp_path / "cache"))
    flying = loaded(source, memory=60_000 if kind == "parquet" else 10_000, cache="none")
    for other in (written, again, flying):
        assert isinstance(other.train.images, Images)
        assert other.train.images.shape == memory.train.images.shape
        assert other.train.images.nbytes == memory.train.images.nbytes
        same(other, memory)
        assert measure(other.train.images) == measure(memory.train.images)
        assert digests_of(other.train.images) == digests_of(memory.train.images)
    assert "in the cache" in again.train.images.where
    assert "each batch" in flying.train.images.where


def test_within_the_budget_nothing_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert isinstance(loaded(Folder(str(folder), size=16), memory=31 * 768).train.images, torch.Tensor)
    assert not (tmp_path / "home").exists()
    lines: list[str] = []
    beyond = loaded(Folder(str(folder), size=16), memory=31 * 768 - 1, tell=lines.append)
    (entry,) = entries(tmp_path / "home" / "counterpoint" / "decoded")
    assert entry.name.startswith("set-16px-")
    assert isinstance(beyond.train.images, Images)
    assert lines[0].startswith(f"  cache    0.0 MiB to {entry}, free ")


def test_a_second_run_reads_what_the_first_wrote(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from counterpoint.sources import parallel

    source, place, lines = Folder(str(folder), size=16), tmp_path / "cache", []
    first = loaded(source, cache=str(place))
    (entry,) = entries(place)
    stamp = (entry / "images.u8").stat().st_mtime_ns
    monkeypatch.setattr(parallel, "to_array", None)  # nothing is decoded any more
    same(loaded(source, cache=str(place), tell=lines.append), first)
    assert (entry / "images.u8").stat().st_mtime_ns == stamp
    assert lines == [f"  cache    0.0 MiB from {entry}"]


def test_other_content_or_settings_are_another_cache(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"

    def count(**options) -> int:
        loaded(Folder(str(folder), **{"size": 16, **options}), cache=str(place))
        return len(entries(place))

    assert count() == 1
    assert count(test_share=0.4, labels="none") == 1
    assert count(size=12) == 2
    assert count(channels=1) == 3
    save(folder / "a" / "00.png", noise(1, 18, 24, 3, seed=9)[0])
    assert count() == 4
    os.utime(folder / "a" / "02.png", ns=(1, 1))
    assert count() == 5
    (folder / "b" / "01.png").rename(folder / "b" / "001.png")
    assert count() == 6
    (folder / "b" / "03.png").unlink()
    assert count() == 7


def test_a_damaged_cache_is_written_anew(folder: Path, tmp_path: Path) -> None:
    source, place = Folder(str(folder), size=16), tmp_path / "cache"
    first = loaded(source)
    for spoil in ("images.u8", "about.json", "kept.npy", "digests.npy"):
        for damage in (None, b"", b"PK\x03\x04", b"[" * 9, b"{}", b"[]", 17):
            loaded(source, cache=str(place))
            (entry,) = entries(place)
            match damage:
                case None:
                    (entry / spoil).unlink()
                case int(length):
                    os.truncate(entry / spoil, length)
                case contents:
                    (entry / spoil).write_bytes(contents)
            same(loaded(source, cache=str(place)), first)
    about = json.loads((entry / "about.json").read_text())
    for field in about.keys() - {"of"}:
        for value in ({}, {field: None}, {field: "no"}, {field: [[]]}, {field: 7}):
            spoilt = {name: one for name, one in about.items() if name != field} | value
            (entry / "about.json").write_text(json.dumps(spoilt))
            same(loaded(source, cache=str(place)), first)


def test_a_cache_larger_than_the_memory_is_mapped(folder: Path, tmp_path: Path) -> None:
    """What a mapping that may be written to would be refused for: three times the memory, none of it on the disk."""
    source, place = Folder(str(folder), size=16), tmp_path / "cache"
    loaded(source, cache=str(place))
    (entry,) = entries(place)
    about = json.loads((entry / "about.json").read_text())
    side = 2**16
    images = 3 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (3 * side * side) + 1
    (entry / "about.json").write_text(json.dumps(about | {"shape": [images, 3, side, side]}))
    np.save(entry / "kept.npy", np.arange(images))
    np.save(entry / "digests.npy", np.zeros((images, 16), np.uint8))
    try:
        os.truncate(entry / "images.u8", images * 3 * side * side)
    except OSError as error:
        pytest.skip(f"the file system has no files of this size: {error}")
    found = cache_files.find(entry)
    assert found is not None
    assert found.images.shape == (images, 3, side, side)
    assert not found.images[-1, -1, -1].any()
    (entry / "images.u8").unlink()


def test_a_cache_that_cannot_be_mapped_is_kept(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, place = Folder(str(folder), size=16), tmp_path / "cache"
    first = loaded(source, cache=str(place))
    stamps = {path: path.stat().st_mtime_ns for path in place.rglob("*")}

    def refused(*arguments, **more) -> None:
        raise OSError(12, os.strerror(12))

    monkeypatch.setattr(cache_files.np, "memmap", refused)
    with pytest.raises(SourceError, match=r"cannot be read: Cannot allocate memory; .*--cache DIR.*--cache none"):
        loaded(source, cache=str(place))
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == stamps
    monkeypatch.undo()
    same(loaded(source, cache=str(place)), first)


KILLED = """
import os, signal, sys
from counterpoint.sources import Folder, Storage, parallel, storing
real, seen = parallel.to_array, []
def counted(*args, **more):
    seen.append(1)
    if len(seen) == 20 and sys.argv[3] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[3] == "slow":
        import time; time.sleep(0.05)
    return real(*args, **more)
parallel.to_array = counted
parallel._TELL_EVERY = 0
with storing(Storage(cache=sys.argv[2], tell=lambda line: print(line, flush=True))):
    data = Folder(sys.argv[1], size=int(sys.argv[4])).load()
print("decoded", len(seen), int(data.train.images[:].sum()), flush=True)
"""


def run(folder: Path, place: Path, how: str, size: int = 16) -> subprocess.Popen:
    arguments = [sys.executable, "-c", KILLED, str(folder), str(place), how, str(size)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_nothing_that_is_taken(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    for size in (16, 12):
        killed = run(folder, place, "kill", size)
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL
    assert not entries(place)
    assert len(list(place.glob(".*.part"))) <= 2
    source = Folder(str(folder), size=16)
    same(loaded(source, cache=str(place)), loaded(source))
    assert len(entries(place)) == 1
    assert not list(place.glob(".*.part"))  # also what was left of the other set


def test_two_at_once_write_it_once(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    both = [run(folder, place, "slow") for _ in range(2)]
    said = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    counts = sorted(int(text.split("decoded")[-1].split()[0]) for text in said)
    assert counts == [0, 31]
    assert len({text.split()[-1] for text in said}) == 1
    assert sum("another run is writing" in text for text in said) <= 1
    assert len(entries(place)) == 1


def test_no_room_on_the_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, place = Folder(str(folder), size=16), tmp_path / "cache"
    monkeypatch.setattr(cache_files.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 100))
    with pytest.raises(SourceError, match=r"has 0.0 MiB free; .*--cache DIR.*--size.*--cache none"):
        loaded(source, cache=str(place))
    assert not entries(place)
    monkeypatch.undo()
    monkeypatch.setattr(cache_files, "_synchronise", full)
    with pytest.raises(SourceError, match="No space left on device; name another folder by --cache"):
        loaded(source, cache=str(place))
    assert not entries(place)
    assert not list(place.glob(".*.part"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"cannot be written: (File exists|Not a directory)"):
        loaded(source, cache=str(tmp_path / "file"))


def test_room_is_looked_for_once_what_killed_runs_left_is_gone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place = Folder(str(folder), size=16), tmp_path / "cache"
    loaded(source, cache=str(place))
    (entry,) = entries(place)
    entry.rename(place / f".{entry.name}.part")
    shutil.copytree(place / f".{entry.name}.part", place / ".other.part")

    def free(path: Path) -> tuple[int, ...]:
        return shutil._ntuple_diskusage(9, 9, 0 if list(place.glob(".*.part")) else 10**6)

    monkeypatch.setattr(cache_files.shutil, "disk_usage", free)
    same(loaded(source, cache=str(place)), loaded(source))
    assert entries(place) == [entry]


def test_a_run_that_waits_for_another_needs_no_room(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place = Folder(str(folder), size=16), tmp_path / "cache"
    loaded(source, cache=str(place))
    monkeypatch.setattr(cache_files.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    find, asked = cache_files.find, []

    def first_in_vain(entry: Path):
        asked.append(entry)
        return find(entry) if len(asked) > 1 else None

    monkeypatch.setattr(cache_files, "find", first_in_vain)
    same(loaded(source, cache=str(place)), loaded(source))
    assert len(asked) == 3


def test_a_source_that_fails_is_not_told_as_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from counterpoint.sources import parallel

    source, place = Folder(str(folder), size=16), tmp_path / "cache"

    def failing(*arguments, **more) -> None:
        raise OSError(5, os.strerror(5))

    def without_folder(*arguments, **more):
        shutil.rmtree(next(place.glob(".*.part"), place / "gone"), ignore_errors=True)
        return to_array(*arguments, **more)

    to_array = parallel.to_array
    monkeypatch.setattr(parallel, "to_array", failing)
    with pytest.raises(OSError, match=r"Input/output error"):
        loaded(source, cache=str(place))
    assert not list(place.glob(".*.part"))
    monkeypatch.setattr(parallel, "to_array", without_folder)
    with pytest.raises(SourceError, match="cannot be written: No such file"):
        loaded(source, cache=str(place))
    assert not entries(place)


def full(path: Path) -> None:
    raise OSError(28, os.strerror(28))


def test_a_dry_run_writes_nothing_and_says_where_it_would(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    data = loaded(Folder(str(folder), size=16), cache=str(place), dry_run=True)
    assert f"would go to {place}" in data.train.images.where
    assert not place.exists()


def test_on_the_fly_a_parquet_column_must_fit(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [png(one) for one in noise(9, 20, 20, 3)]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="encoded images must lie in memory"):
        loaded(Parquet(str(tmp_path / "a.parquet")), memory=99, cache="none")


def test_the_budget_is_for_train_and_test_together(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for side in ("train", "test"):
        rows = [png(one) for one in noise(9, 20, 20, 3)]
        pq.write_table(pa.table({"image": rows}), tmp_path / f"{side}.parquet")
    data = loaded(Parquet(str(tmp_path)), memory=18 * 1200 - 1, cache=str(tmp_path / "cache"))
    assert isinstance(data.train.images, Images)
    assert isinstance(loaded(Parquet(str(tmp_path)), memory=18 * 1200).train.images, torch.Tensor)


def test_a_file_that_goes_while_training_is_a_sentence(folder: Path) -> None:
    data = loaded(Folder(str(folder), size=16), memory=0, cache="none")
    shutil.rmtree(folder)
    with pytest.raises(SourceError, match=r"\.png of .* cannot be now: No such file or directory; .*--resume"):
        data.train.images[:3]


def test_splitting_makes_no_second_copy(folder: Path) -> None:
    memory = loaded(Folder(str(folder), size=16))
    train, test = memory.train.images, memory.test.images
    assert train.untyped_storage().data_ptr() == test.untyped_storage().data_ptr()
    split = Split(train, memory.train.labels, memory.train.names)
    kept, held = hold_out(split, 0.3, "here")
    assert isinstance(kept.images, Images)
    assert len(kept) + len(held) == len(split)
    for part in (kept, held):
        for name, image in zip(part.names, part.images, strict=True):
            assert torch.equal(image, train[split.names.index(name)])
    assert split.names == memory.train.names


def test_reading_ahead_gives_the_same(folder: Path) -> None:
    pixels = torch.from_numpy(noise(20, 4, 4, 3)).permute(0, 3, 1, 2)
    asked: list[list[int]] = []

    def read(index: torch.Tensor) -> torch.Tensor:
        asked.append(index.tolist())
        return pixels[index]

    images = OnDemand(read, torch.arange(19, -1, -1), (3, 4, 4), "here")
    index = torch.tensor([3, 1])
    images.prefetch(index)
    images.prefetch(index)
    assert torch.equal(images[index], pixels[[16, 18]])
    assert asked == [[16, 18]]
    for start in range(0, 20, 6):
        assert torch.equal(images[start : start + 6], pixels.flip(0)[start : start + 6])
    assert [i for some in asked[1:] for i in some] == list(range(19, -1, -1))  # each read once
    assert torch.equal(images[-1], pixels[0])
    assert torch.equal(images.rows(index)[:], pixels[[16, 18]])
    assert torch.equal(images[torch.arange(20) > 17], pixels[[1, 0]])
    with pytest.raises(IndexError):
        images[20]
    for many in range(9):
        images.prefetch(torch.tensor([many]))
    assert torch.equal(images[torch.tensor([0])], pixels[[19]])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("cached", [False, True], ids=["each time", "cache"])
def test_a_forked_process_reads_by_itself(cached: bool, folder: Path, tmp_path: Path) -> None:
    """Also what its parent has begun to read, and while it does."""
    images = loaded(Folder(str(folder), size=16), memory=0, cache=str(tmp_path) if cached else "none").train.images
    expected, index = images[:], torch.arange(4)
    for _ in range(5):
        images.prefetch(index)
        images.prefetch(index + 1)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            right = torch.equal(images[index], expected[index])
            images.prefetch(slice(2, 9))
            right = right and torch.equal(images[2:9], expected[2:9])
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert torch.equal(images[index], expected[index])


def test_two_sets_in_a_row() -> None:
    one, two = (torch.from_numpy(noise(n, 4, 4, 3, seed=n)).permute(0, 3, 1, 2) for n in (5, 3))
    both = joined(one, OnDemand(lambda index: two[index], torch.arange(3), (3, 4, 4), "elsewhere"))
    assert torch.equal(both[:], torch.cat([one, two]))
    assert torch.equal(both[torch.tensor([7, 0, 4, 5])], torch.cat([one, two])[[7, 0, 4, 5]])
    assert both.where == "in memory and elsewhere"


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("4GiB", 2**32), ("4G", 2**32), ("500MB", 500_000_000), ("0.5 TiB", 2**39), ("7", 7), ("3kib", 3072), ("9B", 9)],
)
def test_amounts_of_memory(text: str, bytes_: int) -> None:
    assert bytes_of(text) == bytes_


@pytest.mark.parametrize("text", ["", "many", "4 GiBs", "-1GiB", "4iB", "1e9", "½G"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(SourceError, match="is no amount of memory; say 4GiB"):
        bytes_of(text)


def test_memory_is_half_of_what_is_available() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**26 < available_memory() <= total
    assert Storage().budget <= total / 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_decoding_needs_no_more_than_the_images(tmp_path: Path) -> None:
    """Nothing of 129 MiB of pixels is held while a cache is written; in memory they are held once."""
    for i, picture in enumerate(noise(43, 16, 16, 3)):
        save(tmp_path / "set" / f"{i}.png", picture)
    code = (
        "import os, re, sys\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"  # each more core has images under way
        "from pathlib import Path\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "from counterpoint.sources import Folder, Storage, storing\n"
        "with storing(Storage(cache=sys.argv[2])): Folder(sys.argv[1], size=32).load()\n"
        "before = peak()\n"
        "with storing(Storage(cache=sys.argv[2])): data = Folder(sys.argv[1], size=512 * 2).load()\n"
        "print(peak() - before, (len(data.train) + len(data.test)) * 3)"
    )
    # In memory: the images, the test side while the split is made, and what threads and allocator have in hand; a list
    # of all images that is then stacked would be above 2.3.
    for where, factor in ((str(tmp_path / "cache"), 0.75), ("auto", 2.25)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "set"), where], capture_output=True, text=True, check=True
        )
        grown, pixels = map(float, done.stdout.split())
        assert grown < factor * pixels, f"{where}: {grown:.0f} MiB for {pixels:.0f} MiB of pixels"


def test_image_files_that_a_parquet_file_names_are_part_of_the_key(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for i, picture in enumerate(noise(6, 12, 12, 3)):
        save(tmp_path / f"{i}.png", picture)
    pq.write_table(pa.table({"image": [{"bytes": None, "path": f"{i}.png"} for i in range(6)]}), tmp_path / "a.parquet")
    source, place = Parquet(str(tmp_path / "a.parquet")), tmp_path / "cache"
    before = loaded(source, cache=str(place))
    save(tmp_path / "3.png", noise(1, 12, 12, 3, seed=7)[0])
    same(loaded(source, cache=str(place)), loaded(source))
    assert len(entries(place)) == 2
    assert sorted((*before.train.names, *before.test.names)) == [f"{i}.png" for i in range(6)]
