"""Who follows a run while it goes on: logs what is found, and says it."""

from collections.abc import Callable
from typing import Any

from counterpoint.engine.health.diagnosis import Chart, Finding
from counterpoint.run import Run

__all__ = ["Watch"]


class Watch:
    """Writes the lines of log.jsonl that the doctor reads, and what follows from them.

    A run that was interrupted is followed from its beginning, so that it says what it would have said.

    Args:
        run: its log is read first.
        say: a line for the person.
    """

    def __init__(self, run: Run, say: Callable[[str], None]) -> None:
        self.run, self.say = run, say
        self.chart = Chart(run.recipe() if (run.folder / "recipe.json").is_file() else None)
        for line in run.history():
            self.chart.add(line)

    def log(self, event: str, **fields: Any) -> tuple[Finding, ...]:
        """Append a line, then one for each finding that came or went; the findings that hold now."""
        before = {finding.name for finding in self.chart.findings}
        self.run.log(event, **fields)
        self.chart.add({"event": event, **fields})
        findings = self.chart.findings
        for name in sorted(before - {finding.name for finding in findings}):
            self.run.log("recovered", step=fields["step"], name=name)
            self.say(f"doctor: {name.replace('-', ' ')} has gone at step {fields['step']:,}")
        for finding in findings:
            if finding.name not in before:
                self.run.log("finding", step=fields["step"], **finding.fields())
                self.say(f"doctor: {finding.line()}")
        return findings
