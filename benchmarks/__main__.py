"""All benchmarks, one process each; their table goes to the terminal and to docs/benchmarks.md.

COUNTERPOINT_DATA=DATA python -m benchmarks                  DATA holds cifar10/ and mnist/
COUNTERPOINT_DATA=DATA python -m benchmarks views epoch      some of them, table printed only
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import PEERS, Row, environment
from counterpoint.files import write_text

HERE = Path(__file__).parent
ALL = (
    "views",
    "elastic",
    "nt_xent",
    "epoch",
    "evaluation",
    "super_class",
    "step_cost",
    "decode",
    "health",
    "saliency",
    "gated",
)
PAGE = HERE.parent / "docs" / "benchmarks.md"


def run(name: str) -> list[Row]:
    """The rows of one benchmark, measured in a process of its own."""
    began = time.perf_counter()
    print(f"{name} …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--json"], stdout=subprocess.PIPE, text=True, cwd=HERE.parent
    )
    if done.returncode:
        raise SystemExit(f"benchmarks.{name} failed (status {done.returncode}); nothing was written")
    print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return [Row(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def table(rows: dict[str, list[Row]]) -> str:
    """Markdown, with what falls short said beside the figure."""
    told = environment()
    peers = ", ".join(f"{peer} {told[peer]}" for peer in PEERS)
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`. Times are of both sides measured in turns in one process, memory of a process for each. "
        "One machine, one run: ratios travel, seconds do not.",
        "",
        f"{time.strftime('%Y-%m-%d')}. {told['machine']}; {told['threads']} threads; Python {told['python']}, torch "
        f"{told['torch']}; peers: {peers}.",
        "",
        "| figure | ours | beside | ratio | wanted | |",
        "|---|---|---|---|---|---|",
    ]
    for row in (row for group in rows.values() for row in group):
        wanted = "" if row.wanted is None else f"{row.sense} {row.wanted:g}"
        met = {None: "", True: "met", False: "**falls short**"}[row.met]
        lines.append(
            f"| {row.figure}{f'<br><small>{row.note}</small>' if row.note else ''} | {row.ours:.4g} {row.unit} "
            f"| {row.theirs:.4g} {row.unit}: {row.peer} | {row.ratio:.3g} | {wanted} | {met} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and where everything was measured, write the page."""
    missing = [peer for peer in ("lightly", "kornia") if environment()[peer] == "not installed"]
    if missing:
        raise SystemExit(f"the peers {', '.join(missing)} are not installed; `make bench` installs them")
    data = os.environ.get("COUNTERPOINT_DATA")
    if not data or not (Path(data) / "cifar10").is_dir():
        raise SystemExit("set COUNTERPOINT_DATA to a folder that holds cifar10/ and mnist/")
    names = sys.argv[1:] or ALL
    unknown = [name for name in names if name not in ALL]
    if unknown:
        raise SystemExit(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ALL)}")
    text = table({name: run(name) for name in names})
    print(text)
    if not sys.argv[1:]:
        write_text(PAGE, text)
        print(f"written to {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
