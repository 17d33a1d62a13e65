"""The loop around the step: order, learning rate, checkpoints, validation, and every way to stop."""

import math
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from counterpoint.engine import checkpoint as checkpoints
from counterpoint.engine.chunked import check_chunks, chunked
from counterpoint.engine.health import Budget, Moved, Watch, now, read
from counterpoint.engine.machine import Machine, Numerics
from counterpoint.engine.progress import Progress
from counterpoint.engine.step import compare
from counterpoint.errors import DivergenceError, MissingExtra, NoPositives, RecipeError
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.run import Run
from counterpoint.schedules import resolve
from counterpoint.types import Batch, Clock, Context, Images, Split

__all__ = ["Outcome", "Plan", "Stepped", "batches", "fit", "steps_per_epoch", "train_step"]


@dataclass(frozen=True)
class Plan:
    """How to run, as against what to learn.

    Args:
        seed: of all streams.
        checkpoint_every: epochs between checkpoints; the end always has one.
        keep: checkpoints kept.
        evaluate_every: epochs between calls of the monitor, below 1 several of them in an epoch; 0: never.
        log_every: steps between lines of log.jsonl.
        micro_batch: images that a rank encodes at a time; None: its whole share of a batch.
        max_seconds: stop in time for this much wall clock; None: no limit.
        tensorboard: write curves for TensorBoard too.
        quiet: say nothing.
    """

    seed: int = 0
    checkpoint_every: int = 1
    keep: int = 2
    evaluate_every: float = 0
    log_every: int = 10
    micro_batch: int | None = None
    max_seconds: float | None = None
    tensorboard: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    seconds: float
    reason: Literal["finished", "interrupted", "max-time"]


@dataclass(frozen=True, eq=False)
class Stepped:
    """What a step answers.

    Args:
        values: the loss and its terms, of this rank; their mean over ranks is the joined batch's.
        health: readings of this rank, where they were asked for.
        seconds: that the readings took.
    """

    values: Mapping[str, Tensor]
    health: Mapping[str, float] = field(default_factory=dict[str, float])
    seconds: float = 0.0


def steps_per_epoch(recipe: Recipe, images: int, world: int = 1) -> int:
    """Whole batches among the images.

    Raises:
        RecipeError: there is none, or the ranks cannot share a batch in equal parts.
    """
    if images < recipe.batch_size:
        raise RecipeError(
            f"a batch takes {recipe.batch_size} images, but there are only {images} to train on; "
            f"give --batch-size {images} or less"
        )
    if recipe.batch_size % world:
        raise RecipeError(f"a batch of {recipe.batch_size} images cannot be shared by {world} ranks in equal parts")
    return images // recipe.batch_size


def batches(split: Split, recipe: Recipe, streams: Streams, clock: Clock, device: torch.device) -> Iterator[Batch]:
    """A rank's shares of the epoch's global batches, from the clock's step on.

    Every image comes at most once in an epoch; the last, incomplete batch is left out. The order is a function of seed
    and epoch.
    """
    epoch, begin = divmod(clock.step, clock.steps_per_epoch)
    order = Streams(streams.seed).at("order", epoch).permutation(len(split))
    share = recipe.batch_size // streams.world
    for step in range(begin, clock.steps_per_epoch):
        position = step * recipe.batch_size + streams.rank * share + torch.arange(share)
        sample = order[position]
        images = split.images[sample.to(split.images.device)]
        if isinstance(split.images, Images) and step + 1 < clock.steps_per_epoch:
            split.images.prefetch(order[position + recipe.batch_size])  # read while this step computes
        label = torch.full((share,), -1) if split.labels is None else split.labels[sample]
        yield Batch(
            images.to(device, non_blocking=True),
            sample.to(device),
            (position - step * recipe.batch_size).to(device),
            label.to(device),
            tuple(view[sample.to(view.device)].to(device, non_blocking=True) for view in split.views),
        )


def train_step(
    recipe: Recipe,
    model: Model,
    optimizer: Optimizer,
    batch: Batch,
    context: Context,
    numerics: Numerics,
    micro_batch: int | None = None,
    examine: bool = False,
) -> Stepped:
    """Forward, backward, update, with the moments of the states between.

    Args:
        recipe: its schedules are resolved here.
        model: in training mode.
        optimizer: of the model's parameters.
        batch: this rank's share of the global batch.
        context: where the run stands.
        numerics: precision.
        micro_batch: images that a rank encodes at a time (see `chunked`); None: all at once.
        examine: take readings; training goes on to the bit as it would without.

    Raises:
        NoPositives: no anchor of the batch has one.
    """
    comm, device = context.comm, batch.images.device
    recipe = resolve(recipe, context.clock)
    for state in model.states():
        state.before_forward(model, context)
    optimizer.zero_grad(set_to_none=True)
    if micro_batch is not None and micro_batch < len(batch.images):
        found, weighted = chunked(recipe, model, batch, context, numerics, micro_batch)
    else:
        with numerics.autocast(device):
            found = compare(recipe, model, batch, context)
        weighted = comm.weight(found.loss)
        weighted.backward()
    comm.average_gradients(model.parameters())
    for state in model.states():
        state.after_backward(model, context)
    health: dict[str, float] = {}
    seconds, before = 0.0, None
    if examine:
        began = now(device)
        health = read(found.online, found.matches, recipe.objective)
        before = Moved.before(optimizer)
        seconds = now(device) - began
    optimizer.step()
    if before is not None:
        began = now(device)
        health |= before.after()
        seconds += now(device) - began
    for state in model.states():
        state.after_step(model, context, found.online.detached(), found.keys.detached())
    values = {"loss": weighted.detach(), **{k: v.detach() for k, v in found.loss.terms.items()}}
    return Stepped(values, health, seconds)


@contextmanager
def _patient() -> Generator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM raise a flag, so that the step in hand ends; a second Ctrl-C stops at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals go to whoever owns it
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _due(step: int, every: float, last: int = 1) -> bool:
    """Whether one more multiple of `every`, which may be no whole number, was reached in the last steps, up to this."""
    return every > 0 and int(step / every + 1e-9) > int(max(0, step - last) / every + 1e-9)


def _diverged(run: Run, step: int, numerics: Numerics, watch: Watch | None) -> DivergenceError:
    findings = watch.log("end", step=step, reason="diverged") if watch else ()
    last = checkpoints.newest(run.checkpoints)
    good = f"the checkpoint of step {last.step} stands" if last else "no checkpoint had been written yet"
    advice = "a lower learning rate, a higher temperature or gradient clipping (--set optim.clip_norm=1)"
    if numerics.precision != "32-true":
        advice += ", or --precision 32-true"
    exploded = [finding for finding in findings if finding.name == "exploding-updates" and finding.flags]
    if exploded:
        advice = f"{exploded[0].flags} against exploding updates, or {advice}"
    return DivergenceError(f"the loss is not a finite number at step {step}; {good}; try {advice}")


def _writer(run: Run) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tensorboard") from error
    return SummaryWriter(str(run.folder / "tensorboard"))


def fit(
    recipe: Recipe,
    model: Model,
    optimizer: Optimizer,
    split: Split,
    run: Run,
    *,
    plan: Plan,
    machine: Machine,
    numerics: Numerics,
    start: int = 0,
    monitor: Callable[[nn.Module], dict[str, float]] | None = None,
) -> Outcome:
    """Train to the end of the recipe, or until something asks to stop; a checkpoint stands at the end.

    The doctor's readings are taken at logged steps: at the first 12, then as long as readings take no more than 1 % of
    the time since the start (see `Budget`). A line of log.jsonl without `health` is of a step that was not read.

    Args:
        recipe: what to learn.
        model: on the machine's device; restored already when `start` is not 0.
        optimizer: of the model's parameters; restored likewise.
        split: the images to learn from.
        run: its folder takes checkpoints and the log.
        plan: how to run.
        machine: devices and ranks.
        numerics: precision and layout.
        start: steps done before.
        monitor: called every `plan.evaluate_every` epochs; its values are logged as `validate`.

    Raises:
        RecipeError: fewer images than a batch, or a batch that the ranks cannot share or that chunks would spoil.
        NoPositives: no anchor of a batch has one.
        DivergenceError: the loss is not a finite number; the last good checkpoint stands.
    """
    comm, device = machine.comm, machine.device
    if plan.micro_batch is not None and plan.micro_batch < recipe.batch_size // comm.world:
        check_chunks(recipe, model, plan.micro_batch)
    per_epoch = steps_per_epoch(recipe, len(split), comm.world)
    total = per_epoch * recipe.epochs
    streams = Streams(plan.seed, device, comm.rank, comm.world)
    if device.type == "cuda" and split.images.nbytes < torch.cuda.mem_get_info(device)[0] // 4:
        split = replace(split, images=split.images.to(device))
    writer = _writer(run) if plan.tensorboard and machine.leads else None
    began = time.perf_counter()
    step, saved, reason = start, start, "finished"
    check = 1 if device.type == "cpu" else plan.log_every

    progress = Progress(
        total, start=start, epochs=recipe.epochs, batch=recipe.batch_size, silent=plan.quiet or not machine.leads
    )
    watch = Watch(run, progress.say) if machine.leads else None
    budget = Budget(len(watch.chart.readings) if watch else 0)

    def save() -> None:
        nonlocal saved
        # A finite loss may have had a gradient that is none: what stands must be good to go on from.
        if not all(bool(t.isfinite().all()) for t in model.state_dict().values() if t.is_floating_point()):
            raise _diverged(run, step, numerics, watch)
        checkpoints.save(
            run.checkpoints,
            step=step,
            model=model,
            optimizer=optimizer,
            comm=comm,
            barrier=machine.fabric.barrier,
            keep=plan.keep,
        )
        saved = step

    if not start:
        save()
    model.train()
    with _patient() as asked, progress:
        since, mark = step, time.perf_counter()
        while step < total and reason == "finished":
            for batch in batches(split, recipe, streams, Clock(step, total, per_epoch), device):
                clock = Clock(step, total, per_epoch)
                recipe.optim.set_lr(optimizer, clock)
                context = Context(clock, comm, streams)
                logs = (step + 1) % plan.log_every == 0 or step + 1 == total
                quarter = _due(step + 1, total / 4, plan.log_every)
                examine = bool(watch) and logs and budget.allows(time.perf_counter() - began, quarter=quarter)
                try:
                    done = train_step(
                        recipe, model, optimizer, batch, context, numerics, plan.micro_batch, examine=examine
                    )
                except NoPositives:
                    if watch:
                        watch.log("end", step=step + 1, reason="no-positives")
                    raise
                step += 1
                epoch_ends = step % per_epoch == 0
                if step % check == 0 or logs or epoch_ends:
                    sums = comm.sum(torch.stack([v.double() for v in done.values.values()])).tolist()
                    mean = {name: total / comm.world for name, total in zip(done.values, sums, strict=True)}
                    if not math.isfinite(mean["loss"]):
                        raise _diverged(run, step, numerics, watch)
                    if machine.leads:
                        progress.step(step, step / per_epoch, mean["loss"])
                    if logs and watch:
                        moment = time.perf_counter()
                        rate = (step - since) * recipe.batch_size / (moment - mark)
                        since, mark = step, moment
                        loss = mean.pop("loss")
                        line = {"step": step, "epoch": step / per_epoch, "loss": loss, "lr": recipe.optim.rate(clock)}
                        read_too = {"health": dict(done.health)} if examine else {}
                        watch.log("step", **line, images_per_second=round(rate, 1), terms=mean, **read_too)
                        if examine:
                            budget.charge(done.seconds + time.perf_counter() - moment)
                        if writer is not None:
                            health = {f"health/{name}": value for name, value in done.health.items()}
                            for name, value in {**line, "images_per_second": rate, **mean, **health}.items():
                                writer.add_scalar(name, value, step)
                if monitor and _due(step, plan.evaluate_every * per_epoch):
                    if machine.leads:
                        found = monitor(model)
                        run.log("validate", step=step, epoch=step / per_epoch, **found)
                        text = ", ".join(f"{k} {v:.4f}" for k, v in found.items())
                        progress.say(f"epoch {step / per_epoch:.3g}: validation {text}")
                        if writer is not None:
                            for name, value in found.items():
                                writer.add_scalar(f"validation/{name}", value, step)
                        model.train()
                    machine.fabric.barrier()
                if epoch_ends and (step // per_epoch) % plan.checkpoint_every == 0:
                    save()
                late = plan.max_seconds is not None and time.perf_counter() - began >= plan.max_seconds
                stops = [asked(), late]
                if comm.world > 1:  # all ranks stop at one step, whoever was asked
                    stops = comm.sum(torch.tensor(stops, dtype=torch.float32, device=device)).tolist()
                if any(stops):
                    reason = "interrupted" if stops[0] else "max-time"
                    break
        if saved != step:
            save()
    seconds = time.perf_counter() - began
    if writer is not None:
        writer.close()
    if watch:
        held = watch.log("end", step=step, epoch=step / per_epoch, seconds=round(seconds, 3), reason=reason)
        for finding in held:
            progress.say(f"doctor: {finding.title.lower()} since step {finding.since:,} held to the end")
    return Outcome(step, seconds, reason)
