"""What a run's saliency looks like: an image file, a page, or lines on the terminal."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.app.gates import Classes, names_of
from counterpoint.app.saliency import Looker, Saliency
from counterpoint.errors import RunError, SourceError
from counterpoint.report.exhibits import Table
from counterpoint.report.saliency import COLUMNS, FORMATS, tiles, write_panel, write_saliency_page
from counterpoint.run import Run

__all__ = ["show_saliency", "write_saliency"]


def write_saliency(
    run: Run | str | Path,
    inputs: Sequence[str],
    out: str | Path,
    *,
    gates: Sequence[Classes] = (),
    probe: str | None = None,
    feature: str | None = None,
    crops: int = 16,
    detach: bool = False,
    seed: int = 0,
) -> list[Saliency]:
    """Maps of pairs of images, without a gate and under each that is named, as an image file or a page.

    Args:
        run: a finished run, or its folder.
        inputs: image files and positions in the test split: pairs one after the other; with a probe, single ones.
        out: the file: .png, .jpg, .webp or .html.
        gates: classes and pairs of classes.
        probe: as in `saliency`, like all that follow.
        feature: that is compared.
        crops: of each first image.
        detach: gradient through the second image alone.
        seed: of the crops.

    Returns:
        What was seen, without a gate first.

    Raises:
        RunError: another ending, no finished run, no such gate or probe.
        SourceError: images that are no pairs, or cannot be used.
    """
    target = Path(out)
    if target.suffix.lower() not in (*FORMATS, ".html"):
        raise RunError(f"--out {target}: the ending says what is written; expected {', '.join((*FORMATS, '.html'))}")
    if not inputs or (probe is None and len(inputs) % 2):
        raise SourceError(
            f"{len(inputs)} image{'' if len(inputs) == 1 else 's'} arrived, which make no pairs; give an even number, "
            "or what a probe reads in one image"
        )
    run = run if isinstance(run, Run) else Run.open(run)
    looker = Looker(run)
    given = [int(word) if word.isdecimal() else word for word in inputs]
    first, second = (given, None) if probe is not None else (given[::2], given[1::2])
    asked = None if probe is not None else feature or ("z" if gates else "h")
    seen = [
        looker.see(first, second, gate=gate, probe=probe, feature=asked, crops=crops, detach=detach, seed=seed)
        for gate in (None, *gates)
    ]
    pairs = _called(inputs, probe)
    pictures = torch.stack([_tiles(one) for one in seen], 1).flatten(0, 1)
    captions = [f"{name}: {_told(one, i)}" for i, name in enumerate(pairs) for one in seen]
    columns = _columns(seen[0])
    if target.suffix.lower() != ".html":
        write_panel(target, pictures, captions, columns)
        return seen
    numbers = Table(
        "saliency",
        "Every number",
        ("images", "number", "whole images", "mean over crops"),
        tuple((name, one.of, float(one.value[i]), float(one.score[i])) for i, name in enumerate(pairs) for one in seen),
    )
    words = ["counterpoint", "saliency", str(run.folder), *inputs]
    for gate in gates:
        words += ["--gate", ",".join(names_of(run, gate))]
    words += [] if probe is None else ["--probe", probe]
    words += [] if feature is None else ["--feature", feature]
    words += ["--detach"] if detach else []
    words += ["--crops", str(crops), "--seed", str(seed), "--out", str(target)]
    high, wide = seen[0].grid
    write_saliency_page(
        target,
        pictures,
        captions,
        columns,
        title=f"Saliency of {run.folder.name}",
        about=(_explained(seen[0], detach=detach),),
        numbers=numbers,
        command=shlex.join(words),
        facts={
            "feature": seen[0].feature,
            "layer": f"{seen[0].layer}, a map of {high} x {wide}",
            **({"crops": str(crops), "seed": str(seed)} if probe is None else {}),
        },
    )
    return seen


def _explained(one: Saliency, *, detach: bool) -> str:
    if one.second is None:
        return f"Which part of each image raises the {one.of}: Grad-CAM at the encoder's last map."
    through = "the second image alone" if detach else "both images"
    return (
        "Which part of two images makes them alike to the encoder: Grad-CAM of the mean cosine between the second "
        f"image and crops of the first, with gradient through {through}."
    )


def _called(inputs: Sequence[str], probe: str | None) -> list[str]:
    names = [f"test image {word}" if word.isdecimal() else Path(word).name for word in inputs]
    return names if probe is not None else [f"{a}, {b}" for a, b in zip(names[::2], names[1::2], strict=True)]


def _told(one: Saliency, row: int) -> str:
    if one.second is None:
        return f"{one.of} {float(one.value[row]):+.2f}"
    return f"{one.of} {float(one.value[row]):.3f} ({float(one.score[row]):.3f} over crops)"


def _tiles(one: Saliency) -> UInt8[Tensor, "pair column 3 high broad"]:
    shown = tiles(one.first, one.first_map)
    return shown if one.second is None else torch.cat((shown, tiles(one.second, one.second_map)), 1)


def _columns(one: Saliency) -> tuple[str, ...]:
    if one.second is None:
        return COLUMNS
    first = COLUMNS if one.first_map is not None else COLUMNS[:1]
    return (*(f"first {word}" for word in first), *(f"second {word}" for word in COLUMNS))


def show_saliency(seen: Sequence[Saliency], inputs: Sequence[str]) -> None:
    """Print what was measured: each pair's similarity, or each image's logit."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for i, name in enumerate(_called(inputs, None if seen[0].second is not None else "")):
        console.print(Text(name))
        for one in seen:
            console.print(Text(f"  {_told(one, i)}"))
    high, wide = seen[0].grid
    console.print(Text(f"{seen[0].feature}, map of {high} x {wide} at layer {seen[0].layer}", "dim"))
