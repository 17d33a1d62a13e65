"""Does the doctor name what is wrong, and leave alone what is not? Planted faults and healthy runs.

    python -m benchmarks.doctor --data FOLDER --out doctor.jsonl      the confusion table; goes on where it stopped
    python -m benchmarks.doctor --development --out development.jsonl  on what thresholds were set on

What readings cost is measured by benchmarks.health.

Thresholds were set on scikit-learn's digits with the encoders mlp and conv, seeds from 100 on, and without the kinds of
faults that are marked new; the table is made on MNIST and CIFAR-10 with the encoder pami, seeds 0 to 4. Each run has
1,024 images and 80 steps of 64 of them (batch 32: 128 steps). An encoder made for it that ends in a sigmoid, as pami
does, was looked at on the digits, too.

What a planted fault is to be called, decided beforehand: by its cause, not by its symptoms. A run with exploded or
standing weights, with a temperature that can't teach, or without positives sits at its ceiling and may be collapsed;
unrelated pairs end in a collapse, too, and sit at the ceiling before it. Attraction alone collapses completely. A decay
of 1,000 makes a network with BatchNorm keep a few directions and one without it none: both names of collapse are right.
Only the first name that is told counts; anything told of a healthy run is a false alarm. "Mended" is a run that was
made again with the finding's own settings, from the same seed, and no longer has it.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks import faults
from benchmarks.faults import Plan

NAMES = (
    "healthy",
    "no-positives",
    "exploding-updates",
    "vanishing-updates",
    "saturated-temperature",
    "one-prototype",
    "uniform-assignments",
    "loss-at-ceiling",
    "complete-collapse",
    "dimensional-collapse",
)


def told(plan: Plan, data: str, folder: Path | None, encoder: str, seed: int, more: dict[str, Any]) -> list[Any]:
    """The findings at the end of a run."""
    from counterpoint import app
    from counterpoint.errors import DivergenceError, NoPositives

    dials = {k: v for k, v in more.items() if k in plan.dials or k in _dials(plan.recipe)}
    some = faults.data(data, folder)
    settings = {**faults.settings(plan, some), **{k: v for k, v in more.items() if k not in dials}}
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        with suppress(DivergenceError, NoPositives):  # the log says so
            app.train(
                plan.recipe,
                source=some,
                encoder=faults.encoder(plan, encoder),
                out=out,
                seed=seed,
                dials={"batch_size": 64, "epochs": 5, **plan.dials, **dials},
                settings=settings,
                precision="32-true",
                channels_last="no",
                accelerator="cpu",
                checkpoint_every=1000,
                evaluate=False,
                report=False,
                quiet=True,
            )
        return list(app.doctor(out).findings)


def _dials(recipe: str) -> set[str]:
    from counterpoint.signature import find

    return {dial.name for dial in find(recipe).dials}


def judged(number: int, data: str, folder: Path | None, encoder: str, seed: int) -> dict[str, Any]:
    """One plan's run, and where something is found, the run that follows the advice."""
    torch.set_num_threads(1)
    plan = faults.plans()[number]
    first = told(plan, data, folder, encoder, seed, {})
    line: dict[str, Any] = {
        "plan": plan.name,
        "data": data,
        "encoder": encoder,
        "seed": seed,
        "truth": plan.truth,
        "new": plan.new,
    }
    line["told"] = [finding.name for finding in first]
    if first:
        advised = dict(first[0].settings)
        line |= {"evidence": first[0].evidence, "settings": advised}
        line["after"] = [f.name for f in told(plan, data, folder, encoder, seed, advised)] if advised else line["told"]
    return line


def table(lines: Sequence[dict[str, Any]]) -> None:
    """Print the confusion table and the rates."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(150, Console().width))
    counts: dict[str, Counter[str]] = {}
    for line in lines:
        truth = line["truth"] if isinstance(line["truth"], str) else " or ".join(line["truth"])
        counts.setdefault(truth, Counter())[line["told"][0] if line["told"] else "healthy"] += 1
    shown = Table("planted", *(name.replace("-", "\n") for name in NAMES), title="named")
    for truth in sorted(counts, key=lambda t: NAMES.index(t.split(" or ")[0])):
        shown.add_row(truth, *(str(counts[truth][name] or "") for name in NAMES))
    console.print(shown)
    each = Table("plan", "right", "mended", "healthy after", "wrongly told")
    for name in dict.fromkeys(line["plan"] for line in lines):
        mine = [line for line in lines if line["plan"] == name]
        right = [line for line in mine if _right(line)]
        wrong = Counter(line["told"][0] if line["told"] else "nothing" for line in mine if not _right(line))
        faulty = mine[0]["truth"] != "healthy"
        mended = f"{sum(map(_mended, right))} of {len(right)}" if faulty else ""
        well = f"{sum(line['after'] == [] for line in right)} of {len(right)}" if faulty else ""
        mark = " (new)" if mine[0]["new"] else ""
        each.add_row(name + mark, f"{len(right)} of {len(mine)}", mended, well, ", ".join(map(str, wrong.items())))
    console.print(each)
    healthy = [line for line in lines if line["truth"] == "healthy"]
    faulty = [line for line in lines if line["truth"] != "healthy"]
    alarms, right = sum(bool(line["told"]) for line in healthy), [line for line in faulty if _right(line)]
    if healthy:
        console.print(f"false alarms: {alarms} of {len(healthy)} healthy runs, {alarms / len(healthy):.1%} (goal 2 %)")
    if faulty:
        console.print(f"named rightly: {len(right)} of {len(faulty)}, {len(right) / len(faulty):.1%} (goal 95 %)")
    if right:
        mended = sum(map(_mended, right))
        console.print(f"gone by the advice: {mended} of {len(right)}, {mended / len(right):.1%}")


def _right(line: dict[str, Any]) -> bool:
    truths = [line["truth"]] if isinstance(line["truth"], str) else line["truth"]
    return (line["told"][0] if line["told"] else "healthy") in truths


def _mended(line: dict[str, Any]) -> bool:
    return bool(line["told"]) and line["told"][0] not in line["after"]


def _folder() -> Path | None:
    return Path(os.environ["COUNTERPOINT_DATA"]) if "COUNTERPOINT_DATA" in os.environ else None


def main() -> None:
    """Make the runs that are missing, and print the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=_folder(), help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=["mnist", "cifar10"])
    parser.add_argument("--encoders", nargs="+", default=["pami"])
    parser.add_argument("--seeds", type=int, default=5, help="of each plan; faults take the data sets in turns")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="plans whose names begin so")
    parser.add_argument("--development", action="store_true", help="digits, mlp and conv, seeds from 100, nothing new")
    parser.add_argument("--out", type=Path, default=Path("doctor.jsonl"))
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if asked.development:
        asked.sets, asked.encoders, asked.first_seed = ["digits"], ["mlp", "conv"], 100
    done = [json.loads(text) for text in asked.out.read_text().splitlines()] if asked.out.is_file() else []
    known = {(line["plan"], line["data"], line["encoder"], line["seed"]) for line in done}
    jobs: list[tuple[int, str, Path | None, str, int]] = []
    for number, plan in enumerate(faults.plans()):
        if (asked.development and plan.new) or (asked.only and not plan.name.startswith(tuple(asked.only))):
            continue
        for encoder in asked.encoders:
            for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
                turn = asked.sets[(number + seed) % len(asked.sets)]
                for data in asked.sets if plan.truth == "healthy" else [turn]:
                    if (plan.name, data, encoder, seed) not in known:
                        jobs.append((number, data, asked.data, encoder, seed))
    jobs.sort(key=lambda job: job[-1])  # seed by seed, so that an early look is a fair one
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool, asked.out.open("a") as file:
        for future in as_completed([pool.submit(judged, *job) for job in jobs]):
            line = future.result()
            done.append(json.loads(json.dumps(line)))
            file.write(json.dumps(line) + "\n")
            file.flush()
    order = {plan.name: number for number, plan in enumerate(faults.plans())}
    table(sorted(done, key=lambda line: order[line["plan"]]))


if __name__ == "__main__":
    main()
