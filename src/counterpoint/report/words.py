"""What was run and what came out, in one paragraph."""

from counterpoint.report.numbers import amount, duration, figure, interval, is_share, points
from counterpoint.report.run import Run
from counterpoint.report.verdict import paired

__all__ = ["LEADING", "headlines", "seconds", "summary", "trained"]

LEADING = ("knn_accuracy", "linear_probe")


def headlines(run: Run) -> list[str]:
    """Names of the measures that the page puts first: accuracies that the learned encoder and the raw pixels share."""
    shared = [
        m.name
        for m in run.measures.get("learned", ())
        if m.better and m.group == "classification" and run.measure("pixels", m.name) and run.measure("learned", m.name)
    ]
    return [name for name in LEADING if name in shared] or shared[:1]


def trained(run: Run) -> tuple[float | None, int | None]:
    """Epochs and steps done, None where the log says nothing."""
    last = run.log.end or (run.log.steps[-1] if run.log.steps else {})
    epoch, step = last.get("epoch"), last.get("step")
    length = run.section("facts").get("steps_per_epoch")
    if epoch is None and step is not None and length:
        epoch = step / length
    return (None if epoch is None else float(epoch)), (None if step is None else int(step))


def seconds(run: Run) -> float | None:
    """How long the whole training took; None where the log does not say, or tells only of the last of several goes."""
    value = (run.log.end or {}).get("seconds")
    return float(value) if isinstance(value, int | float) and not run.log.resumed else None


def summary(run: Run) -> list[str]:
    """One paragraph, sentence by sentence."""
    data = run.section("dataset")
    name = str(data.get("name") or run.section("facts").get("source") or "its images")
    epochs, steps = trained(run)
    length = f" for {amount(epochs)} epoch{'' if epochs == 1 else 's'}" if epochs else ""
    length = length or (f" for {steps:,} steps" if steps else "")
    taken = seconds(run)
    time = f", which took {duration(taken)}" if taken is not None else ""
    images = run.section("facts").get("images") or data.get("train")
    train = f"{int(images):,} images of {name}" if images else name
    said = [f"An encoder was trained with {run.recipe.get('recipe', 'a recipe of its own')} on {train}{length}{time}."]
    said.extend(_ending(run))
    if data.get("test") and run.scores:
        said.append(f"It was then frozen and tested on {int(data['test']):,} images that it had not been trained on.")
    names = headlines(run)
    if not names:
        if run.scores is None:
            said.append("It has not been evaluated yet, so this page shows only how the training went.")
        elif not run.classes:
            said.append(
                "There are no labels, so nothing can be right or wrong; what can be said is how the images lie."
            )
        return said
    ours = run.measure("learned", names[0])
    theirs, untrained = run.measure("pixels", names[0]), run.measure("untrained", names[0])
    assert ours is not None
    assert theirs is not None
    share = is_share(ours)
    held = f" (95 % interval {interval(ours, ' to ')})" if interval(ours) else ""
    who = {
        "knn_accuracy": "A vote of the nearest neighbours names the class of {} of them rightly",
        "linear_probe": "A linear classifier on top names the class of {} of them rightly",
    }.get(ours.name, f"{ours.label} is {{}}")
    said.append(who.format(figure(ours.value, share)) + held + ".")
    gap = paired(run, ours.name, "pixels")
    given = figure(theirs.value, share)
    if gap is None:
        said.append(f"The raw pixels alone give {given}; without intervals, it stays open whether that differs.")
    else:
        verdict = {
            "better": f"That is better than the raw pixels alone, which give {given}: {points(gap, share)}.",
            "worse": f"That is worse than the raw pixels alone, which give {given}: {points(gap, share)}.",
            "alike": f"The raw pixels alone give {given}, and on this test set the two cannot be told apart: "
            f"{points(gap, share)}.",
        }
        said.append(verdict[gap.verdict])
    if untrained is not None:
        before = paired(run, ours.name, "untrained")
        tail = f"; what training changed is {points(before, share)}" if before else ""
        said.append(f"The same encoder before training gives {figure(untrained.value, share)}{tail}.")
    return said


def _ending(run: Run) -> list[str]:
    """Why a run stopped before its end, how far it had come, and which weights are left of it."""
    if not run.log.steps and run.log.end is None:
        return []
    end = run.log.end or {}
    reason = end.get("reason")
    told = {
        "interrupted": "The training was interrupted before its planned end",
        "max-time": "The training stopped when its time was up, before its planned end",
        "diverged": "The training failed: the loss was no longer a number",
        "no-positives": "The training failed: no anchor had a positive to be drawn to",
        None: "The log has no end: the training is still under way, or was stopped by an error or from outside",
    }
    if reason not in told:
        return []
    _, steps = trained(run)
    planned = run.section("facts").get("total_steps")
    failed = reason in ("diverged", "no-positives")
    of = f" of {int(planned):,} planned steps" if planned else "" if failed else " steps"
    done = "" if steps is None else f", {'at step' if failed else 'after'} {steps:,}{of}"
    step = run.weights if run.weights is not None else steps if reason in ("interrupted", "max-time") else None
    left = "; no checkpoint stands in its folder" if step is None else f"; the weights are those of step {step:,}"
    return [f"{told[reason]}{done}{left}."]
