"""What the person sees while a run goes on: a moving line on a terminal, plain lines elsewhere, nothing when quiet."""

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["Progress", "duration"]


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> duration(75), duration(7260)
        ('1m15s', '2h01m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Progress:
    """Rate, time left and loss of a run.

    Args:
        total: steps of the run.
        start: steps done before.
        epochs: of the run.
        batch: images of a global batch.
        silent: say nothing (other ranks, `--quiet`).
        every: seconds between plain lines where there is no terminal.
    """

    def __init__(self, total: int, *, start: int, epochs: int, batch: int, silent: bool, every: float = 15.0) -> None:
        self.total, self.start, self.epochs, self.batch = total, start, epochs, batch
        self.silent, self.every = silent, every
        self.began = self.last = time.perf_counter()
        self.moving: Any = None
        self.task: Any = None

    def __enter__(self) -> "Progress":
        if not self.silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
            )
            self.moving = Bar(*columns, console=Console(stderr=True), transient=True)
            self.moving.start()
            self.task = self.moving.add_task("train", total=self.total, completed=self.start, text="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.moving is not None:
            self.moving.stop()

    def step(self, done: int, epoch: float, loss: float) -> None:
        """After a step."""
        if self.silent:
            return
        now = time.perf_counter()
        speed = (done - self.start) / max(1e-9, now - self.began)
        text = f"epoch {epoch:.1f}/{self.epochs}  {speed * self.batch:,.0f} images/s  loss {loss:.4f}"
        if self.moving is not None:
            self.moving.update(self.task, completed=done, text=text)
        elif now - self.last >= self.every or done == self.total:
            self.last = now
            left = duration((self.total - done) / max(1e-9, speed))
            print(f"  {text}  {left} left", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.silent:
            return
        if self.moving is not None:
            self.moving.console.print(f"  {text}", highlight=False)
        else:
            print(f"  {text}", file=sys.stderr, flush=True)
