"""From a tuning study to the dials that league trains with: `python -m counterpoint.studies.league.choose FOLDER`.

The methods that the study tried to the end take their place in settings.toml; what stands there of others stays, if it
was chosen with the same encoder; so do the commands that chose it.
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from counterpoint.errors import CounterpointError, RunError
from counterpoint.files import write_text
from counterpoint.studies.league.budget import EPOCHS, TRIAL
from counterpoint.studies.league.settings import FILE, read_settings

__all__ = ["FIXED", "chosen", "main"]

TABLE = Path("tables") / "trials.csv"
FIXED = ("method", "trial", "encoder", "state", "kNN")  # columns that are no dial

Row = Mapping[str, str]


def chosen(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Of each method whose trials have all been run, the dials of the best one; of equals the first.

    A trial that failed has no value and cannot win; a method all of whose trials failed is left out.

    Args:
        rows: of the table of trials, as text.
    """
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(row["method"], []).append(row)
    found: dict[str, dict[str, float]] = {}
    for method, tried in methods.items():
        known = [row for row in tried if row["kNN"]]
        if known and all(row["state"] != "not run" for row in tried):
            best = max(known, key=lambda row: float(row["kNN"]))  # the first of equals
            found[method] = {name: float(value) for name, value in best.items() if name not in FIXED and value}
    return found


def main(arguments: Sequence[str]) -> None:
    """Write the settings of a tuning study.

    Args:
        arguments: its folder, and where to write; this package's own file where that is left out.

    Raises:
        RunError: there is no tuning study, or none of its methods has been tried to the end.
    """
    if not 1 <= len(arguments) <= 2:
        raise RunError(f"got {len(arguments)} arguments; expected the folder of a tuning study, and perhaps a file")
    folder, target = Path(arguments[0]), Path(arguments[1]) if len(arguments) == 2 else FILE
    try:
        asked = cast(dict[str, Any], json.loads((folder / "study.json").read_text(encoding="utf-8")))
        with (folder / TABLE).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        best = chosen(rows)
        command, encoder = str(asked["command"]), rows[0]["encoder"]
        epochs = TRIAL * float(asked.get("options", {}).get("epochs") or EPOCHS)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise RunError(
            f"{str(folder)!r} holds no tuning study ({error}); run counterpoint study league-tuning"
        ) from error
    if not best:
        raise RunError(f"no method of {str(folder)!r} has had all its trials; the same command goes on with them")
    kept = read_settings(target)
    others = kept.dials if kept.encoder == encoder else {}
    stay = set(others) - set(best)
    commands = (*(one for one in kept.commands if stay and one != command), command)
    write_text(target, _toml({**others, **best}, encoder, epochs, commands))
    tried = {row["method"] for row in rows}
    print(f"{target}: {len(best)} of {len(tried)} methods chosen; {len(stay)} kept as they were")


def _toml(dials: Mapping[str, Mapping[str, float]], encoder: str, epochs: float, commands: Sequence[str]) -> str:
    lines = [
        "# The dials that league trains with; made by `python -m counterpoint.studies.league.choose FOLDER`.",
        "",
        "[tuned]",
        f"encoder = {json.dumps(encoder)}",
        f"epochs = {epochs!r}",
        "commands = [",
        *(f"    {json.dumps(command)}," for command in commands),
        "]",
    ]
    for method, own in sorted(dials.items()):
        lines += ["", f"[{method}]", *(f"{dial} = {value!r}" for dial, value in own.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CounterpointError as error:
        sys.exit(str(error))
