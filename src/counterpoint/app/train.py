"""Train: data and flags become a recipe, the recipe a run folder."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from counterpoint import encoders, sources
from counterpoint._version import __version__
from counterpoint.app import assess
from counterpoint.embed import embed
from counterpoint.engine import (
    Checkpoint,
    Machine,
    Numerics,
    Outcome,
    Plan,
    batches,
    compare,
    duration,
    fit,
    launch,
    measured,
    newest,
    restore,
)
from counterpoint.errors import CheckpointError, RecipeError, RunError, nearest
from counterpoint.evaluation import knn_accuracy
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import Recipe, compose, part_from_json, part_to_json
from counterpoint.run import Run
from counterpoint.schedules import resolve
from counterpoint.serving import load, save_encoder
from counterpoint.signature import find
from counterpoint.types import Clock, Context, Dataset, Encoder, Facts, Source, Split

__all__ = ["facts_of", "train"]


@dataclass(frozen=True, eq=False)
class Asked:
    """A run as it was asked for, from flags, a stored recipe, or a run to go on with."""

    name: str
    source: Source
    encoder: str | None
    dials: dict[str, Any]
    settings: dict[str, Any]
    seed: int
    stored: dict[str, Any] | None  # recipe.json, when its parts are to be used as they are


def _stored(path: Path) -> dict[str, Any]:
    return Run.open(path.parent if path.name == "recipe.json" else path).recipe()


def _understand(
    recipe: str | None,
    stored: dict[str, Any] | None,
    *,
    source: str | Path | Source | None,
    options: dict[str, Any],
    encoder: str | None,
    dials: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int | None,
) -> Asked:
    """What was asked for; what is given beside a stored recipe wins."""
    given = {k: v for k, v in options.items() if v is not None}
    if stored is None:
        if recipe is None:
            raise RecipeError("no recipe was named; name one (`counterpoint methods` lists them) or give --config")
        found = source if source is not None else "digits"
        value = sources.lookup(str(found), **given) if isinstance(found, str | Path) else found
        return Asked(recipe, value, encoder, dict(dials), dict(settings), seed or 0, None)
    name = recipe or stored["recipe"]
    if source is not None:
        value = sources.lookup(str(source), **given) if isinstance(source, str | Path) else source
    else:
        value = cast(Source, part_from_json(stored["source"]))
        for field, wanted in given.items():
            known = list(cast(Any, value).__dataclass_fields__)
            if field not in known:
                raise RecipeError(
                    f"the stored source {type(value).__name__} takes no {field!r}; {nearest(field, known)}"
                )
            value = replace(cast(Any, value), **{field: wanted})
    untouched = not (dials or settings or encoder or source or given) and name == stored["recipe"]
    return Asked(
        name=name,
        source=value,
        encoder=encoder or stored["encoder"],
        dials={**(stored["dials"] if name == stored["recipe"] else {}), **dials},
        settings={**(stored["settings"] if name == stored["recipe"] else {}), **settings},
        seed=stored["seed"] if seed is None else seed,
        stored=stored if untouched else None,
    )


def _same(asked: Asked, stored: dict[str, Any], folder: Path) -> None:
    """A resumed run is the run that was begun."""
    compared = {
        "recipe": asked.name,
        "seed": asked.seed,
        "encoder": asked.encoder,
        "source": json.loads(json.dumps(part_to_json(asked.source))),
        **{f"dials.{k}": v for k, v in asked.dials.items()},
        **{f"settings.{k}": v for k, v in asked.settings.items()},
    }
    for path, wanted in compared.items():
        top, _, key = path.partition(".")
        found = stored[top].get(key) if key else stored[top]
        if json.loads(json.dumps(wanted)) != found:
            raise CheckpointError(
                f"{str(folder)!r} holds another run: its {path.replace('.', ' ')} is {found!r}, not {wanted!r}; "
                "resume it as it was begun, or train in a new folder with --out"
            )


def facts_of(dataset: Dataset, learned: Split) -> Facts:
    """What a data set decides."""
    mean, std = sources.measure(learned.images)
    _, channels, height, width = learned.images.shape
    if height != width:
        raise RecipeError(f"the images of {dataset.name!r} are {height} x {width}; give --size to make them square")
    return Facts(
        source=dataset.name,
        kind=dataset.kind,
        channels=channels,
        size=height,
        images=len(learned),
        classes=len(dataset.classes),
        mean=mean,
        # A constant channel has no deviation to divide by.
        std=tuple(s or 1.0 for s in std),
    )


def _batch_that_fits(name: str, dials: dict[str, Any], images: int) -> dict[str, Any]:
    """The recipe's own batch size, halved until four batches fit into the images; one that was given stays."""
    default = next((dial.default for dial in find(name).dials if dial.name == "batch_size"), None)
    if "batch_size" in dials or not isinstance(default, int):
        return dials
    size = default
    while size > 8 and size * 4 > images:
        size //= 2
    return dials if size == default else {**dials, "batch_size": size}


def _folder(name: str, source: str) -> Path:
    plain = "".join(c if c.isalnum() else "-" for c in f"{name.split(':')[-1]}-{source.split(':')[0]}")
    base = Path("runs") / plain
    folder, count = base, 2
    while folder.exists():
        folder, count = base.with_name(f"{base.name}-{count}"), count + 1
    return folder


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


def _warm(model: Model, recipe: Recipe, path: str) -> None:
    """Start from the encoder of another run."""
    begun = load(path)
    if begun.part != recipe.encoder or begun.facts.channels != model.facts.channels:
        raise CheckpointError(
            f"--from {path}: its encoder is {begun.part} for {begun.facts.channels} channels, but this run builds "
            f"{recipe.encoder} for {model.facts.channels}; give the same --encoder"
        )
    try:
        model.towers.encoder.load_state_dict(begun.encoder.state_dict())
    except RuntimeError as error:
        raise CheckpointError(
            f"--from {path}: its encoder was built for images of {begun.facts.size} px, not {model.facts.size}"
        ) from error


def _trial(recipe: Recipe, split: Split, seed: int, machine: Machine, most: int) -> Any:
    """One training step on real images, for measuring; at most so many images."""
    share = min(most, recipe.batch_size)
    small = replace(recipe, batch_size=share)
    clock = Clock(0, 1, 1)
    streams = Streams(seed, machine.device)
    batch = next(iter(batches(split, small, streams, clock, machine.device)))
    from counterpoint.distributed import Comm

    def work(model: nn.Module, numerics: Numerics) -> None:
        model.train()
        with numerics.autocast(machine.device):
            loss, _, _ = compare(
                resolve(small, clock), cast(Model, model), batch, Context(clock, Comm.alone(), streams)
            )
        loss.total.backward()
        model.zero_grad(set_to_none=True)

    return work


def _negatives(recipe: Recipe) -> str:
    seen = recipe.negatives.seen(recipe.batch_size, len(recipe.views))
    return f"{seen:,} negatives for each anchor" if seen else "no negatives from the batch"


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def _describe(recipe: Recipe, dataset: Dataset, model: Model, learned: Split, machine: Machine) -> str:
    weights = sum(p.numel() for p in model.towers.get_submodule("encoder").parameters())
    labels = f"{len(dataset.classes)} classes" if dataset.classes else "no labels"
    ranks = f" on {machine.comm.world} ranks" if machine.comm.world > 1 else ""
    skipped = f", {len(dataset.skipped)} files skipped" if dataset.skipped else ""
    side = f"{model.facts.channels} x {model.facts.size} x {model.facts.size}"
    return (
        f"  data     {len(learned):,} images to learn from, {len(dataset.test):,} to test on, "
        f"{side}, {labels}{skipped}\n"
        f"  encoder  {type(recipe.encoder).__name__}, {weights:,} weights, width {recipe.encoder.width}\n"
        f"  batch    {recipe.batch_size} images x {len(recipe.views)} views{ranks}: {_negatives(recipe)}"
    )


def _dry(recipe: Recipe, model: Model, learned: Split, machine: Machine, numerics: Numerics, seed: int) -> str:
    """Memory and time of a step, measured on real images."""
    work = _trial(recipe, learned, seed, machine, recipe.batch_size)
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        work(model, numerics)
    began = time.perf_counter()
    work(model, numerics)
    seconds = time.perf_counter() - began
    weights = sum(p.nbytes for p in model.parameters())
    steps = len(learned) // recipe.batch_size * recipe.epochs
    return (
        f"  memory   about {(kept + 4 * weights) / 2**20:,.0f} MiB for a step (activations {kept / 2**20:,.0f}, "
        f"weights with gradients and optimizer {4 * weights / 2**20:,.0f}), "
        f"and {learned.images.nbytes / 2**20:,.0f} MiB of images\n"
        f"  time     about {duration(steps * seconds)} for {steps:,} steps of {seconds:.3f} s, before evaluation"
    )


def train(
    recipe: str | Recipe | None = None,
    *,
    source: str | Path | Source | None = None,
    root: str | Path | None = None,
    size: int | None = None,
    labels: str | Path | None = None,
    group: str | None = None,
    download: bool = False,
    encoder: str | Encoder | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    dials: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    warm_from: str | None = None,
    dry_run: bool = False,
    max_time: float | None = None,
    evaluate_every: int | None = None,
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
    command: str | None = None,
    quiet: bool = False,
    **more: Any,
) -> Run | None:
    """Train an encoder by contrast; score it; write its page.

    Args:
        recipe: a name, an import path, or a Recipe.
        source: a name, a path to images, or a Source.
        root: of the source, where it takes one, as the next four.
        size: of the images, in pixels.
        labels: a CSV, a column, `folders` or `none`.
        group: column whose equal values stay on one side of a split.
        download: fetch a public data set that is missing.
        encoder: a name, an import path, or an Encoder; None: what suits the source.
        out: a new folder for the run; None: runs/RECIPE-SOURCE.
        seed: of every random draw.
        dials: arguments of the recipe's function.
        settings: any other field, by path.
        config: a recipe.json to run again.
        resume: go on with the run in `out`.
        warm_from: a run whose encoder to start from, or `timm:NAME` for a pretrained one.
        dry_run: say what would be built, with memory and time; write nothing and return None.
        max_time: stop in time for so many seconds, evaluation included, with everything written.
        evaluate_every: epochs between kNN scores on a validation split, which is then held out of the training images.
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
        stored = _stored(Path(config))
    if folder is not None and not resume and not dry_run and not os.environ.get("LOCAL_RANK", "0").strip("0"):
        Run.check_free(folder)

    made = recipe if isinstance(recipe, Recipe) else None
    options = {
        "root": None if root is None else str(root),
        "size": size,
        "labels": None if labels is None else str(labels),
        "group": group,
        "download": download or None,
    }
    own_encoder = None if encoder is None or isinstance(encoder, str) else encoder
    if warm_from and warm_from.startswith("timm:") and encoder is None:
        encoder = warm_from
    name = made.name or "custom" if made else cast(str | None, recipe)
    if made and (stored or dials or settings or encoder):
        raise RecipeError(
            "a Recipe value is whole: leave out config, resume, encoder, dials and settings, or name a recipe"
        )
    asked = _understand(
        name,
        stored,
        source=source,
        options=options,
        encoder=encoder if isinstance(encoder, str) else None,
        dials=dials,
        settings=settings or {},
        seed=seed,
    )
    if resume and stored and folder and asked.stored is None:
        _same(asked, stored, folder)
        asked = replace(asked, stored=stored)

    dataset = asked.source.load()
    machine = launch(accelerator or "auto", devices or 1, num_nodes or 1)
    quiet = quiet or not machine.leads
    streams = Streams(asked.seed)
    learned, validation = _learned(dataset, evaluate_every, asked, made)
    facts = facts_of(dataset, learned)
    composed = made or _compose(asked, facts, own_encoder, warm_from)
    if composed.pairing.needs_labels and learned.labels is None:
        raise RecipeError(
            f"{composed.name} needs labels, but source {dataset.name!r} has none; use simclr, or give --labels FILE.csv"
        )
    per_epoch = len(learned) // composed.batch_size
    facts = replace(facts, steps_per_epoch=per_epoch, total_steps=per_epoch * composed.epochs)
    with forked(streams.number("init")):
        model = Model(composed, facts)
    if warm_from and not warm_from.startswith("timm:") and not resume:
        _warm(model, composed, warm_from)
    model.to(machine.device)
    model = machine.comm.synchronised(model)
    _say(_describe(composed, dataset, model, learned, machine), quiet)
    numerics, timings = _numerics(composed, model, learned, asked, machine, precision, channels_last)
    numerics.arrange(model)
    if dry_run:
        _say(_dry(composed, model, learned, machine, numerics, asked.seed), quiet)
        return None

    optimizer = composed.optim.build(model)
    if folder is None:
        folder = machine.fabric.broadcast(_folder(composed.name, dataset.name))
    start = 0
    run = Run(folder)
    if resume:
        found: Checkpoint | None = newest(run.checkpoints)
        start = restore(found, model=model, optimizer=optimizer, comm=machine.comm) if found else 0
        if machine.leads:
            run.rewind(start)
            run.log("resume", step=start)
        _say(f"  resumed  at step {start:,} of {facts.total_steps:,}", quiet)
    elif machine.leads:
        run = Run.create(folder)
        run.write_recipe(
            {
                "counterpoint": __version__,
                "recipe": composed.name,
                "seed": asked.seed,
                "command": command or _python_command(composed.name, dataset.name),
                "source": part_to_json(asked.source),
                "encoder": asked.encoder,
                "dials": part_to_json(dict(composed.dials)),
                "settings": part_to_json(asked.settings),
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
                    "measured_seconds": timings,
                    "device": str(machine.device),
                    "ranks": machine.comm.world,
                    "threads": torch.get_num_threads(),
                    "negatives_per_anchor": composed.negatives.seen(composed.batch_size, len(composed.views)),
                },
                "environment": _environment(),
            }
        )
        assess.write_skipped(run, dataset)
        run.log("start", step=0, images=len(learned), total_steps=facts.total_steps)
    machine.fabric.barrier()
    plan = Plan(
        seed=asked.seed,
        checkpoint_every=checkpoint_every or 1,
        keep=keep or 2,
        evaluate_every=evaluate_every or 0,
        max_seconds=_time_to_train(max_time, began, dataset, composed, evaluate),
        tensorboard=tensorboard,
        quiet=quiet,
    )

    def monitor(current: nn.Module) -> dict[str, float]:
        assert validation is not None
        bank = embed(cast(Model, current), learned, dataset)
        held = embed(cast(Model, current), validation, dataset)
        return {"knn_accuracy": float(knn_accuracy(bank.labelled(), held.labelled()))}

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


def _learned(
    dataset: Dataset, evaluate_every: int | None, asked: Asked, made: Recipe | None
) -> tuple[Split, Split | None]:
    """The images to learn from, and those held out to follow the run."""
    held = bool(evaluate_every) or bool(asked.stored and asked.stored["validation"])
    learned, validation = dataset.train, None
    if held:
        if dataset.train.labels is None:
            raise RecipeError(
                f"--evaluate-every follows kNN accuracy, but source {dataset.name!r} has no labels; leave it out"
            )
        learned, validation = sources.hold_out(dataset.train, 0.1, dataset.name)
    if dataset.unlabelled is not None:
        more = dataset.unlabelled
        labels = None if learned.labels is None else torch.cat([learned.labels, torch.full((len(more),), -1)])
        learned = Split(torch.cat([learned.images, more.images]), labels)
    return learned, validation


def _compose(asked: Asked, facts: Facts, own: Encoder | None, warm_from: str | None) -> Recipe:
    if asked.stored is not None:
        return cast(Recipe, part_from_json(asked.stored["parts"]))
    if own is None and warm_from and asked.encoder is None:
        own = load(warm_from).part
    name = asked.encoder or encoders.default(facts.kind, facts.size)
    encoder = own or encoders.lookup(name, pretrained=True) if warm_from == name else own or encoders.lookup(name)
    return compose(asked.name, facts, encoder, _batch_that_fits(asked.name, asked.dials, facts.images), asked.settings)


def _numerics(
    recipe: Recipe,
    model: Model,
    learned: Split,
    asked: Asked,
    machine: Machine,
    precision: str | None,
    channels_last: str | None,
) -> tuple[Numerics, dict[str, float]]:
    """As it was begun, as it was asked for, or as it is fastest here; the same on all ranks."""
    if asked.stored is not None and precision is None and channels_last is None:
        engine = asked.stored["engine"]
        return Numerics(engine["precision"], engine["channels_last"]), dict(engine["measured_seconds"])
    if len(learned) < recipe.batch_size:
        return Numerics(), {}
    work = _trial(recipe, learned, asked.seed, machine, 128)
    decided = measured(work, model, (precision or "auto", channels_last or "auto"), machine.device)
    return machine.fabric.broadcast(decided)


def _time_to_train(limit: float | None, began: float, dataset: Dataset, recipe: Recipe, evaluate: bool) -> float | None:
    """The limit less what evaluation and page need: 10 s, and 2 ms for each image and 3,000 numbers of its rows."""
    if limit is None:
        return None
    numbers = recipe.encoder.width * 2 + dataset.train.images[0].numel()
    images = len(dataset.train) + len(dataset.test)
    after = 10 + images * (0.0005 + 0.002 * numbers / 3000) if evaluate else 2
    return max(0.0, limit - after - (time.perf_counter() - began))


def _python_command(recipe: str, source: str) -> str:
    return f"counterpoint train {recipe} --source {source}"
