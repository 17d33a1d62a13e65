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
    if data.get("test") and run.scores:
        said.append(f"It was then frozen and tested on {int(data['test']):,} images that it had not been trained on.")
    said.extend(_ending(run))
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
    if not run.log.steps:
        return []
    reason = (run.log.end or {}).get("reason")
    told = {
        "interrupted": "The training was interrupted before its planned end.",
        "max-time": "The training stopped when its time was up, before its planned end.",
        None: "The log has no end: the training is still under way, or was stopped by an error or from outside.",
    }
    return [told[reason]] if reason in told else []
