"""What a run is worth: its embeddings, scores and page."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from counterpoint import embed as embedding
from counterpoint import encoders, evaluation, report, sources
from counterpoint.app.theory import measure_theory
from counterpoint.distributed import Comm
from counterpoint.engine import newest, restore
from counterpoint.errors import CheckpointError, RunError, SourceError
from counterpoint.evaluation import Evaluation
from counterpoint.files import whole, write_json, write_text
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import Recipe, part_from_json
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, load
from counterpoint.types import Dataset, Embeddings, Facts, Source

__all__ = [
    "changed",
    "dataset_of",
    "embed",
    "evaluate",
    "fresh",
    "restored",
    "show_table",
    "write_report",
    "write_skipped",
]


def _opened(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.open(run)


def dataset_of(stored: Mapping[str, Any]) -> Dataset:
    """The data of a run's recipe.json, its pixels where that run had them; with the labels that its source gives."""
    source = cast(Source, part_from_json(stored["source"]))
    with sources.storing(sources.Storage(**stored.get("storage", {}))):
        return (source.source if isinstance(source, PseudoLabelled) else source).load()


def fresh(recipe: Recipe, facts: Facts, seed: int) -> Model:
    """The model with random weights, those that the seed gives; also where the run started from other ones."""
    recipe = replace(recipe, encoder=encoders.untrained(recipe.encoder))
    with forked(Streams(seed).number("init")):
        return Model(recipe, facts)


def restored(run: Run, recipe: Recipe, facts: Facts, seed: int) -> Model:
    """The model of a run's newest checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    checkpoint = newest(run.checkpoints)
    if checkpoint is None:
        raise CheckpointError(f"{str(run.folder)!r} has no checkpoint to evaluate; go on with it by --resume")
    model = fresh(recipe, facts, seed)
    restore(checkpoint, model=model, optimizer=None, comm=Comm.alone())
    return model


def write_skipped(run: Run, dataset: Dataset) -> None:
    """List the files that could not be used."""
    write_json(run.folder / "skipped.json", [{"name": s.name, "reason": s.reason} for s in dataset.skipped])


def evaluate(
    run: Run | str | Path,
    *,
    dataset: Dataset | None = None,
    model: Model | None = None,
    recipe: Recipe | None = None,
    theory: bool = False,
    quiet: bool = False,
) -> Evaluation:
    """Every score that the data allows, beside raw pixels and the untrained encoder.

    Writes scores.json and embeddings.parquet; with `theory` also theory.html and its tables.

    Args:
        run: a run that has been trained.
        dataset: of the run, where it is at hand.
        model: of the run, where it is at hand.
        recipe: of the run, where it is at hand.
        theory: measure too what the theory of contrastive learning says of the learned encoder.
        quiet: say nothing on the way.

    Raises:
        CheckpointError: the run has no checkpoint.
    """
    run = _opened(run)
    stored = run.recipe()
    recipe = recipe or cast(Recipe, part_from_json(stored["parts"]))
    dataset = dataset or dataset_of(stored)
    seed, facts = int(stored["seed"]), Facts.stored(stored["facts"])
    model = model or restored(run, recipe, facts, seed)
    tell: Callable[[str], None] = (lambda text: None) if quiet else (lambda text: print(f"  {text}", file=sys.stderr))
    untrained = fresh(recipe, facts, seed).to(model.normalise.mean.device)
    train, test = dataset.train, dataset.test
    if not len(test):
        raise SourceError(f"source {dataset.name!r} has no test images; there is nothing to score on")
    tell("embedding")
    learned = (embedding.embed(model, train, dataset), embedding.embed(model, test, dataset))
    baselines = {
        "pixels": tuple(embedding.pixels(part, dataset) for part in (train, test)),
        "untrained": tuple(embedding.embed(untrained, part, dataset, encoder="untrained") for part in (train, test)),
    }
    embedding.write_embeddings(run.embeddings, {"train": learned[0], "test": learned[1]})
    views = _pairs(model, recipe, dataset, seed)
    result = evaluation.evaluate(
        learned[0],
        learned[1],
        baselines=cast(Any, baselines),
        seed=seed,
        test_views=views,
        progress=tell,
        source=dataset.name,
        split=dataset.split,
    )
    result = replace(result, digest=embedding.fingerprint(test.images))
    write_text(run.scores, result.to_json())
    if theory:
        # The scores are written by now: what fails from here on costs the theory alone.
        found, _ = measure_theory(run, model, recipe, dataset, learned, views, seed=seed, tell=tell)
        more = (*result.measures["learned"], *found.measures())
        result = replace(result, measures={**result.measures, "learned": more})
        write_text(run.scores, result.to_json())
    return result


def show_table(scores: Evaluation) -> None:
    """Print the table, never so narrow that an interval is cut off."""
    from rich.console import Console

    console = Console()
    if console.width < 110:
        console = Console(width=110)
    console.print(scores.table())


def _pairs(model: Model, recipe: Recipe, dataset: Dataset, seed: int) -> tuple[Embeddings, Embeddings] | None:
    """Two views of test images, for the alignment of positive pairs."""
    # Patches are views of one image that need not agree.
    if len(recipe.views) < 2 or recipe.views.grids:
        return None
    device = model.normalise.mean.device
    some = dataset.test.images[: min(2048, len(dataset.test))].to(device)
    views = recipe.views(some, Streams(seed, device).at("evaluation"))[:2]
    if views[0].shape != views[1].shape:
        return None
    first, second = (embedding.encode(model, view) for view in views)
    rows = torch.arange(len(some))
    return Embeddings(first[0], rows, first[1]), Embeddings(second[0], rows, second[1])


def write_report(run: Run | str | Path, *, dataset: Dataset | None = None, recipe: Recipe | None = None) -> Path:
    """The run's page; without images where its data set is not at hand, or no longer the one that was scored."""
    run = _opened(run)
    stored = run.recipe()
    try:
        dataset = dataset or dataset_of(stored)
    except SourceError as error:
        absent = f"The images themselves are not shown, as they were not at hand when this page was written: {error}."
        print(f"  the page shows no images: {error}", file=sys.stderr)
        return report.write(run.folder, absent=absent)
    why = changed(dataset, _scored(run), run.folder)
    if why:
        print(f"  the page shows no images: {why}", file=sys.stderr)
        return report.write(run.folder, absent=f"The images themselves are not shown: {why}.")
    recipe = recipe or cast(Recipe, part_from_json(stored["parts"]))
    views = _strip(recipe, dataset, int(stored["seed"]))
    return report.write(run.folder, images=dataset.test.images, names=dataset.test.names, views=views)


def changed(dataset: Dataset, digest: str, folder: Path) -> str:
    """What to say where the test images are not those of a digest; empty where they are, or there is no digest."""
    if not digest or digest == embedding.fingerprint(dataset.test.images):
        return ""
    return f"the test images are not those that were scored; `counterpoint evaluate {folder}` scores it anew"


def _scored(run: Run) -> str:
    """The digest of the test images that the scores are of; empty where nothing says it."""
    try:
        return str(json.loads(run.scores.read_text(encoding="utf-8")).get("digest") or "")
    except (OSError, ValueError, AttributeError):  # not scored, or damaged, of which the page speaks
        return ""


def _strip(recipe: Recipe, dataset: Dataset, seed: int, rows: int = 6, columns: int = 8) -> torch.Tensor | None:
    """Images beside views of them, as uint8: the first column is the original."""
    images = dataset.train.images[:: max(1, len(dataset.train) // rows)][:rows]
    if not len(images):
        return None
    drawn = [images.float() / 255]
    for draw in range(columns):
        views = recipe.views(images, Streams(seed).at("strip", draw))
        drawn.append(views[draw % len(views)])
    side = images.shape[-2:]
    same = [d if d.shape[-2:] == side else torch.nn.functional.interpolate(d, size=side, mode="nearest") for d in drawn]
    return (torch.stack(same, 1) * 255).round().clamp(0, 255).to(torch.uint8)


def embed(run: Run | str | Path, inputs: Any, out: str | Path, *, batch: int = 1024) -> Path:
    """Embeddings of a person's images, as Parquet (name, h), CSV or NPY by the ending of `out`.

    Files that are no images are named on stderr and left out.

    Args:
        run: a run, its folder, or an encoder.safetensors.
        inputs: a path, or several; of folders, the images below them.
        out: the file to write; its folder is made.
        batch: images decoded at a time.

    Raises:
        RunError: an ending of another kind.
        SourceError: no image could be used.
    """
    import numpy as np

    path = Path(out)
    if path.suffix not in (".parquet", ".csv", ".npy"):
        raise RunError(f"--out {path}: the ending says what is written; expected .parquet, .csv or .npy")
    loaded = load(run.folder if isinstance(run, Run) else run)
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    files = [file for item in given for file in sources.image_files(Path(item))]
    path.parent.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    parts: list[Any] = []
    for start in range(0, len(files), batch):
        images, kept, skipped = sources.read_files(
            files[start : start + batch], size=loaded.facts.size, channels=loaded.facts.channels
        )
        for file in skipped:
            print(f"  skipped  {file.name}: {file.reason}", file=sys.stderr)
        if kept:
            names += [str(files[start + i]) for i in kept]
            parts.append(loaded.embed(images))
    if not parts:
        raise SourceError(f"none of the {len(files)} files could be used; there is nothing to embed")
    h = np.concatenate(parts)
    with whole(path) as temporary:
        if path.suffix == ".npy":
            with temporary.open("wb") as file:
                np.save(file, h)
        elif path.suffix == ".csv":
            import csv

            with temporary.open("w", newline="", encoding="utf-8") as text:
                writer = csv.writer(text)
                writer.writerow(["name", *(f"h{i}" for i in range(h.shape[1]))])
                writer.writerows([name, *map(float, row)] for name, row in zip(names, h, strict=True))
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = pa.FixedSizeListArray.from_arrays(pa.array(h.reshape(-1)), h.shape[1])
            pq.write_table(pa.table({"name": pa.array(names), "h": rows}), temporary)
    return path
