"""Train: data and flags become a recipe, the recipe a run folder."""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from counterpoint import encoders, sources
from counterpoint._version import __version__
from counterpoint.app import assess
from counterpoint.app.announce import described, in_chunks, seen
from counterpoint.app.asked import (
    check_data,
    check_same,
    compose_asked,
    encoder_asked,
    facts_of,
    free_folder,
    stored_recipe,
    understand,
)
from counterpoint.app.cost import decide_numerics, estimate, time_to_train
from counterpoint.embed import embed
from counterpoint.engine import (
    Checkpoint,
    Machine,
    Outcome,
    Plan,
    clean,
    duration,
    fit,
    launch,
    newest,
    restore,
    steps_per_epoch,
)
from counterpoint.errors import CheckpointError, CounterpointError, RecipeError, RunError
from counterpoint.evaluation import knn_accuracy, usual_neighbours
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import Recipe, part_from_json, part_to_json
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, keep_labels, kept_labels, load, own_source, save_encoder
from counterpoint.types import Dataset, Encoder, Facts, Source, Split, State

__all__ = ["train", "with_unlabelled"]

Made = TypeVar("Made")


def _environment() -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "lightning-fabric": version("lightning-fabric"),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _warm(recipe: Recipe, facts: Facts, path: str) -> dict[str, Tensor]:
    """The weights of another run's encoder."""
    begun = load(path)
    if begun.part != encoders.bare(recipe.encoder) or (begun.facts.channels, begun.facts.size) != (
        facts.channels,
        facts.size,
    ):
        raise CheckpointError(
            f"--from {path}: its encoder is {begun.part} for {begun.facts.channels} channels of {begun.facts.size} px, "
            f"but this run builds {encoders.bare(recipe.encoder)} for {facts.channels} of {facts.size} px; give "
            "the same --encoder and --size"
        )
    return begun.encoder.state_dict()


def _kept(warm_from: str | None) -> str | None:
    """As it is stored: a run by its absolute path."""
    return warm_from if warm_from is None or warm_from.startswith("timm:") else str(Path(warm_from).absolute())


def _loaded(source: Source, machine: Machine, storage: sources.Storage) -> Dataset:
    """The data; with many ranks the leading one loads first, so that one downloads and one complains."""
    with sources.storing(storage):
        return _led(source.load, machine) or source.load()


def _storage(memory: int | str | None, cache: str | Path | None, stored: dict[str, Any] | None) -> dict[str, Any]:
    """Where pixels lie: as asked for now, else as before; it is stored for evaluation and page, and never compared."""
    before: dict[str, Any] = (stored or {}).get("storage", {"memory": None, "cache": "auto"})
    amount = sources.bytes_of(memory) if isinstance(memory, str) else memory
    place = cache if cache in (None, "auto", "none") else Path(cache).expanduser().absolute()
    return {
        "memory": before["memory"] if amount is None else amount,
        "cache": before["cache"] if place is None else str(place),
    }


def _led(work: Callable[[], Made], machine: Machine) -> Made | None:
    """What the leading rank makes, None on the others; where it fails it alone complains, and all stop."""
    made: Made | None = None
    error: CounterpointError | None = None
    if machine.leads:
        try:
            made = work()
        except CounterpointError as failed:
            error = failed
    if machine.fabric.broadcast(error is not None):
        raise error or SystemExit(2)
    return made


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def train(
    recipe: str | Recipe | None = None,
    *,
    source: str | Path | Source | None = None,
    root: str | Path | None = None,
    size: int | None = None,
    labels: str | Path | None = None,
    labels_from: str | Path | None = None,
    clusters: int | None = None,
    group: str | None = None,
    test_share: float | None = None,
    bad_share: float | None = None,
    download: bool = False,
    memory: int | str | None = None,
    cache: str | Path | None = None,
    encoder: str | Encoder | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    dials: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    warm_from: str | None = None,
    dry_run: bool = False,
    max_time: float | None = None,
    evaluate_every: float | None = None,
    evaluate: bool = True,
    report: bool = True,
    checkpoint_every: int | None = None,
    keep: int | None = None,
    tensorboard: bool = False,
    accelerator: str | None = None,
    devices: int | None = None,
    num_nodes: int | None = None,
    precision: str | None = None,
    channels_last: str | None = None,
    micro_batch: int | None = None,
    command: str | None = None,
    quiet: bool = False,
    **more: Any,
) -> Run | None:
    """Train an encoder by contrast; score it; write its page.

    Args:
        recipe: a name, an import path, or a Recipe.
        source: a name, a path to images, or a Source.
        root: of the source, where it takes one, as the next six.
        size: of the images, in pixels.
        labels: a CSV, a column, `folders` or `none`.
        labels_from: a run; the clusters of its embeddings are the labels to train on, and the source's own, where it
            has them, score the result.
        clusters: how many, where `labels_from` is given; None: 1,000.
        group: column whose equal values stay on one side of a split.
        test_share: of a split that is made, in [0, 1).
        bad_share: of files that cannot be used, above which the run stops.
        download: fetch a public data set that is missing.
        memory: budget of each process for decoded images, in bytes or as `4GiB`; None: half of what is available.
        cache: where images beyond it go: `auto`, the user's cache folder; `none`, nowhere: they are decoded for each
            batch; or a folder, where every set is kept.
        encoder: a name, an import path, or an Encoder; None: what suits the source.
        out: a new folder for the run; None: runs/RECIPE-SOURCE.
        seed: of every random draw.
        dials: arguments of the recipe's function.
        settings: any other field, by path.
        preset: of the recipe, settings that were published together; whatever else is given wins.
        config: a recipe.json to run again.
        resume: go on with the run in `out`.
        warm_from: a run whose encoder to start from, or `timm:NAME` for a pretrained one.
        dry_run: say what would be built, with memory and time; write nothing and return None.
        max_time: stop in time for so many seconds, evaluation included, with everything written.
        evaluate_every: epochs between kNN scores on a validation split, which is then held out of the training images;
            below 1 there are several in an epoch.
        evaluate: score the encoder at the end.
        report: write the page.
        checkpoint_every: epochs.
        keep: how many checkpoints stay.
        tensorboard: write curves for TensorBoard too.
        accelerator: `auto`, `cpu` or `cuda`.
        devices: processes on each machine; the batch is shared among all.
        num_nodes: machines.
        precision: `auto` (measured), `32-true` or `bf16-mixed`.
        channels_last: `auto` (measured), `yes` or `no`.
        micro_batch: images that a rank encodes at a time, where a batch's activations do not fit; None: all.
        command: what to type to have this run again, for the record.
        quiet: say nothing.
        more: dials by keyword: `train("simclr", epochs=20, temperature=0.2)`.

    Raises:
        CounterpointError: one sentence on what cannot work.
    """
    began = time.perf_counter()
    dials = {**(dials or {}), **more}
    folder = None if out is None else Path(out)
    stored: dict[str, Any] | None = None
    if resume:
        if folder is None:
            raise RunError("--resume needs --out FOLDER, the folder of the run to go on with")
        stored = Run.open(folder).recipe()
    elif config is not None:
        stored = stored_recipe(Path(config))
    if folder is not None and not resume and not dry_run and not os.environ.get("LOCAL_RANK", "0").strip("0"):
        Run.check_free(folder)

    made = recipe if isinstance(recipe, Recipe) else None
    options = {
        "root": None if root is None else str(root),
        "size": size,
        "labels": None if labels is None else str(labels),
        "group": group,
        "test_share": test_share,
        "bad_share": bad_share,
        "download": download or None,
    }
    own_encoder = None if encoder is None or isinstance(encoder, str) else encoder
    if stored and encoder is None and stored["encoder"] is None:
        own_encoder = encoders.bare(part_from_json(stored["parts"]["encoder"]))
    if warm_from and warm_from.startswith("timm:") and encoder is None:
        encoder = warm_from
    name = made.name or "custom" if made else cast(str | None, recipe)
    if made and (stored or dials or settings or encoder or preset):
        raise RecipeError(
            "a Recipe value is whole: leave out config, resume, encoder, preset, dials and settings, or name a recipe"
        )
    warm_from = warm_from or (stored or {}).get("from")
    asked = understand(
        name,
        stored,
        source=source,
        options=options,
        encoder=encoder if isinstance(encoder, str) else None,
        dials=dials,
        settings=settings or {},
        seed=seed,
        preset=preset,
    )
    if labels_from is not None:
        asked = replace(
            asked,
            source=_pseudo_labelled(asked.source, labels_from, 1000 if clusters is None else clusters, asked.seed),
        )
    elif clusters is not None:
        raise RecipeError(f"clusters={clusters} are of a run's embeddings; also give the run, --labels-from RUN")
    pseudo = asked.source if isinstance(asked.source, PseudoLabelled) else None
    if resume and stored and folder:
        layout = {"yes": True, "no": False}.get(channels_last or "auto")
        exact = None if precision == "auto" else precision
        check_same(
            asked,
            stored,
            folder,
            evaluate_every=evaluate_every,
            engine__precision=exact,
            engine__channels_last=layout,
            engine__micro_batch=micro_batch,
        )
        asked = replace(asked, stored=stored)
        precision = channels_last = None
        micro_batch = stored["engine"].get("micro_batch")

    machine = launch(accelerator or "auto", devices or 1, num_nodes or 1)
    quiet = quiet or not machine.leads
    kept = _storage(memory, cache, stored)
    budget = sources.Storage(**kept).budget // (devices or 1)
    storage = sources.Storage(budget, kept["cache"], dry_run, lambda line: _say(line, quiet))
    images_of = own_source(asked.source)
    dataset = _loaded(images_of, machine, storage)
    if (memory is not None or cache is not None) and not isinstance(images_of, sources.Folder | sources.Parquet):
        _say(f"  note     {dataset.name} is read as it is: --memory and --cache are for folders and Parquet", quiet)
    streams = Streams(asked.seed)
    if evaluate_every is None:
        evaluate_every = cast(float, (stored or {}).get("evaluate_every", 0))
    labelled, validation = _divided(dataset, evaluate_every)
    learned = with_unlabelled(labelled, dataset)
    facts = facts_of(dataset, learned)
    if pseudo:
        _say(f"  labels   {pseudo.clusters:,} clusters of the embeddings of {pseudo.run}", quiet)
        # Made once: on one rank, so that all have the same, and of a run that is resumed, when it was begun.
        stored_there = Run(folder).labels if resume and folder else None
        make = pseudo.labels if stored_there is None else partial(kept_labels, stored_there)
        made_labels = _led(partial(make, learned), machine)
        learned = replace(learned, labels=machine.fabric.broadcast(made_labels))
        facts = replace(facts, classes=pseudo.clusters)
    if asked.encoder is None and own_encoder is None and made is None and not warm_from:
        asked = replace(asked, encoder=encoder_asked(asked, facts))
    if asked.published and (other := asked.published.note(facts.size)):
        _say(f"  note     {other}", quiet)
    composed = made or compose_asked(asked, facts, own_encoder, warm_from)
    if composed.pairing.needs_labels and learned.labels is None:
        raise RecipeError(
            f"{composed.name} needs labels, but source {dataset.name!r} has none; use simclr, or give --labels FILE.csv"
        )
    per_epoch = steps_per_epoch(composed, len(learned), machine.comm.world)
    facts = replace(facts, steps_per_epoch=per_epoch, total_steps=per_epoch * composed.epochs)
    warm = _warm(composed, facts, warm_from) if warm_from and not warm_from.startswith("timm:") else None
    with forked(streams.number("init")):
        model = Model(composed, facts, warm)
    if resume and stored and folder:
        check_data(model.facts, stored, folder)
    model.to(machine.device)
    told = replace(dataset, classes=pseudo.classes) if pseudo else dataset
    _say(described(composed, told, model, learned, machine), quiet)
    if pseudo and not composed.pairing.needs_labels:
        _say(f"  note     {composed.name} trains without labels, so that the clusters count for nothing", quiet)
    numerics, timings = decide_numerics(composed, model, learned, asked, machine, precision, channels_last)
    numerics.arrange(model)
    if micro_batch is not None:
        _say(in_chunks(composed, model, machine, micro_batch), quiet)
    limit = time_to_train(max_time, began, dataset, composed, evaluate)
    if dry_run:
        _say(estimate(composed, model, learned, machine, numerics, asked.seed, micro_batch), quiet)
        return None
    # After measuring: a rank that stops a slow trial early must not leave the others waiting for its statistics.
    model = machine.comm.synchronised(model)
    machine.comm.broadcast(model)

    optimizer = composed.optim.build(model)
    if folder is None:
        folder = machine.fabric.broadcast(free_folder(composed.name, dataset.name))
    start = 0
    run = Run(folder)
    if resume:
        if machine.leads:
            clean(run.checkpoints)
        found: Checkpoint | None = newest(run.checkpoints)
        start = restore(found, model=model, optimizer=optimizer, comm=machine.comm) if found else 0
        if machine.leads:
            run.rewind(start)
            run.log("resume", step=start)
        _say(f"  resumed  at step {start:,} of {facts.total_steps:,}", quiet)
        now = {"ranks": machine.comm.world, "threads": torch.get_num_threads(), "device": str(machine.device)}
        for what, value in now.items():
            if stored and stored["engine"][what] != value:
                before = stored["engine"][what]
                _say(f"  note     {what}: {value} now, {before} before; equal to rounding, not to the bit", quiet)
    elif machine.leads:
        run = Run.create(folder)
        if pseudo:
            keep_labels(run.labels, learned)
        run.write_recipe(
            {
                "counterpoint": __version__,
                "recipe": composed.name,
                "seed": asked.seed,
                "command": command or _python_command(composed.name, dataset.name),
                "source": part_to_json(asked.source),
                "storage": kept,
                "encoder": asked.encoder,
                "from": _kept(warm_from),
                "preset": asked.preset,
                "dials": part_to_json(dict(composed.dials)),
                "settings": part_to_json(asked.settings),
                "evaluate_every": evaluate_every,
                "validation": 0 if validation is None else len(validation),
                "dataset": {
                    "name": dataset.name,
                    "kind": dataset.kind,
                    "classes": list(dataset.classes),
                    "train": len(learned),
                    "test": len(dataset.test),
                    "split": dataset.split,
                    "skipped": len(dataset.skipped),
                },
                "facts": asdict(model.facts),
                "parts": composed.to_json(),
                "engine": {
                    "precision": numerics.precision,
                    "channels_last": numerics.channels_last,
                    "micro_batch": micro_batch,
                    "measured_seconds": timings,
                    "device": str(machine.device),
                    "ranks": machine.comm.world,
                    "threads": torch.get_num_threads(),
                    "negatives_per_anchor": seen(composed, facts),
                },
                "environment": _environment(),
            }
        )
        assess.write_skipped(run, dataset)
        round_of = facts.steps_per_epoch if any(isinstance(m, State) and m.per_image for m in model.modules()) else 0
        run.log("start", step=0, images=len(learned), total_steps=facts.total_steps, round=round_of)
    machine.fabric.barrier()
    plan = Plan(
        seed=asked.seed,
        checkpoint_every=checkpoint_every or 1,
        keep=keep or 2,
        evaluate_every=evaluate_every,
        micro_batch=micro_batch,
        max_seconds=limit,
        tensorboard=tensorboard,
        quiet=quiet,
    )

    def monitor(current: nn.Module) -> dict[str, float]:
        assert validation is not None
        bank = embed(cast(Model, current), labelled, dataset).labelled()
        held = embed(cast(Model, current), validation, dataset).labelled()
        return {"knn_accuracy": float(knn_accuracy(bank, held, k=usual_neighbours(len(bank))))}

    outcome = fit(
        composed,
        model,
        optimizer,
        learned,
        run,
        plan=plan,
        machine=machine,
        numerics=numerics,
        start=start,
        monitor=monitor if validation is not None else None,
    )
    _ended(outcome, facts, run, quiet)
    if machine.leads and outcome.reason != "interrupted":
        save_encoder(run.encoder, model, composed, dataset.classes)
        if evaluate:
            scores = assess.evaluate(run, dataset=dataset, model=model, recipe=composed, quiet=quiet)
            if not quiet:
                assess.show_table(scores)
        if report:
            page = assess.write_report(run, dataset=dataset, recipe=composed)
            _say(f"page       {page}", quiet)
    machine.fabric.barrier()
    if outcome.reason == "interrupted":
        raise KeyboardInterrupt
    return run


def _pseudo_labelled(source: Source, run: str | Path, clusters: int, seed: int) -> PseudoLabelled:
    if not Path(run).exists():
        raise RunError(
            f"there is no {str(run)!r}; --labels-from takes the folder of a run, whose embeddings give labels"
        )
    return PseudoLabelled(own_source(source), str(Path(run).absolute()), clusters, seed)


def _ended(outcome: Outcome, facts: Facts, run: Run, quiet: bool) -> None:
    if outcome.reason == "finished":
        _say(f"  trained  {facts.total_steps:,} steps in {duration(outcome.seconds)}", quiet)
        return
    why = "interrupted" if outcome.reason == "interrupted" else "out of time"
    _say(
        f"  {why} at step {outcome.step:,} of {facts.total_steps:,}; all is saved, "
        f"go on with --resume --out {run.folder}",
        quiet,
    )


def _divided(dataset: Dataset, evaluate_every: float) -> tuple[Split, Split | None]:
    """The training images, and a tenth of them held out where the run is to be followed."""
    if not evaluate_every:
        return dataset.train, None
    if dataset.train.labels is None:
        raise RecipeError(
            f"--evaluate-every follows kNN accuracy, but source {dataset.name!r} has no labels; leave it out"
        )
    return sources.hold_out(dataset.train, 0.1, dataset.name)


def with_unlabelled(labelled: Split, dataset: Dataset) -> Split:
    """The images to learn from: those of the training split, and further ones without labels."""
    if dataset.unlabelled is None:
        return labelled
    more = dataset.unlabelled
    labels = None if labelled.labels is None else torch.cat([labelled.labels, torch.full((len(more),), -1)])
    return Split(sources.joined(labelled.images, more.images), labels)


def _python_command(recipe: str, source: str) -> str:
    return f"counterpoint train {recipe} --source {source}"
