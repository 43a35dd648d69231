"""What a run shows while it works: phases, then rounds with loss, accuracy, bytes and time left.

Everything goes to stderr, so that stdout stays for results. On a terminal it is a live display; anywhere
else (a file, a pipe, a CI log) plain lines without control characters; libraries and tests use
:class:`SilentProgress`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from qfedfm.experiment import quantities

if TYPE_CHECKING:
    from rich.progress import Progress as RichDisplay
    from rich.progress import TaskID

LINE_EVERY_SECONDS = 5.0
"""Least time between two plain lines about the same phase."""


class Progress(Protocol):
    """Told by a run what it does; used as a context manager, phases one after the other."""

    def __enter__(self) -> Self:
        """Starts showing."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops showing and leaves the terminal as it was, whatever happened."""
        ...

    def phase(self, name: str, total: int | None = None, unit: str = "", done: int = 0) -> None:
        """Ends the phase before and starts one.

        Args:
            name: In words, ``"encoding texts"``.
            total: How many steps it takes, None when unknown.
            unit: What is counted, ``"texts"``.
            done: Steps already done (a resumed run).
        """
        ...

    def advance(self, steps: int = 1) -> None:
        """Counts steps of the current phase."""
        ...

    def round(self, record: Mapping[str, Any]) -> None:
        """Counts one round of the current phase and shows its record (a line of ``rounds.jsonl``)."""
        ...

    def note(self, message: str) -> None:
        """Shows a line that stays."""
        ...


def open_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Returns the display that suits the stream (default: stderr as it is now)."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return SilentProgress()
    if stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb"):
        return TerminalProgress(stream)
    return LineProgress(stream)


class SilentProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing."""

    def phase(self, name: str, total: int | None = None, unit: str = "", done: int = 0) -> None:
        """Does nothing."""

    def advance(self, steps: int = 1) -> None:
        """Does nothing."""

    def round(self, record: Mapping[str, Any]) -> None:
        """Does nothing."""

    def note(self, message: str) -> None:
        """Does nothing."""


class LineProgress(SilentProgress):
    """Prints plain lines, at most one every five seconds for a counted phase.

    Args:
        stream: Where to.
        clock: Seconds, monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._pace = Pace(clock)
        self._name = ""
        self._unit = ""
        self._said = 0.0
        self._open = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the last phase."""
        if kind is None:
            self._end()
        self._open = False

    def phase(self, name: str, total: int | None = None, unit: str = "", done: int = 0) -> None:
        """Ends the phase before and announces one."""
        self._end()
        self._name, self._unit, self._open = name, unit, True
        self._pace.start(total, done)
        self._said = self._clock()
        amount = f" ({quantities.count(total)} {unit})".replace(" )", ")") if total else ""
        self.note(f"{name}{amount}" + (f", {done} done before" if done else "") + " ...")

    def advance(self, steps: int = 1) -> None:
        """Counts, and prints if the last line is old."""
        self._pace.step(steps)
        if self._clock() - self._said < LINE_EVERY_SECONDS or self._pace.complete:
            return
        self._said = self._clock()
        self.note(f"{self._name}: {self._pace.counted(self._unit)}{_left(self._pace)}")

    def round(self, record: Mapping[str, Any]) -> None:
        """Prints one line a round."""
        self._pace.step(1)
        self._said = self._clock()
        total = f"/{self._pace.total}" if self._pace.total else ""
        self.note(
            f"round {record.get('round', self._pace.done)}{total}: {measured(record)}{_left(self._pace)}"
        )

    def note(self, message: str) -> None:
        """Prints a line at once."""
        print(message, file=self._stream, flush=True)

    def _end(self) -> None:
        if self._open:
            self.note(f"{self._name}: done in {quantities.duration(self._pace.elapsed)}")
        self._open = False


class TerminalProgress(SilentProgress):
    """A live display: one bar a phase, and a line with the numbers of the last round.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichDisplay

        self._pace = Pace()
        self._task: TaskID | None = None
        self._unit = ""
        self._console = Console(file=stream, highlight=False)
        self._display: RichDisplay = RichDisplay(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counted]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[measured]}", style="dim", markup=False),
            console=self._console,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        """Starts the live display."""
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the live display; the cursor is shown again even after Ctrl-C."""
        if kind is None:
            self._end()
        self._display.stop()

    def phase(self, name: str, total: int | None = None, unit: str = "", done: int = 0) -> None:
        """Ends the bar before and starts one."""
        self._end()
        self._unit = unit
        self._pace.start(total, done)
        self._task = self._display.add_task(
            name, total=total, completed=done, counted=self._pace.counted(unit) if total else "", measured=""
        )

    def advance(self, steps: int = 1) -> None:
        """Moves the bar."""
        self._show(steps, _left(self._pace.step(steps)).removeprefix(", "))

    def round(self, record: Mapping[str, Any]) -> None:
        """Moves the bar and shows the round's numbers."""
        self._show(1, measured(record) + _left(self._pace.step(1)))

    def note(self, message: str) -> None:
        """Prints a line above the bars."""
        self._console.print(message, markup=False)

    def _show(self, steps: int, words: str) -> None:
        if self._task is not None:
            self._display.update(
                self._task, advance=steps, counted=self._pace.counted(self._unit), measured=words
            )

    def _end(self) -> None:
        if self._task is not None:
            done = max(1, self._pace.done)
            self._display.update(self._task, total=done, completed=done)
            self._display.stop_task(self._task)
        self._task = None


class Pace:
    """Counts steps and foresees how long the rest takes, from the steps of this process only.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.start(None, 0)

    def start(self, total: int | None, done: int) -> None:
        """Begins to count at ``done`` of ``total`` (None: unknown)."""
        self.total, self.done, self._before, self._began = total, done, done, self._clock()

    def step(self, steps: int) -> Pace:
        """Counts steps."""
        self.done += steps
        return self

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    @property
    def complete(self) -> bool:
        """Whether all steps of a known total are done."""
        return self.total is not None and self.done >= self.total

    @property
    def left(self) -> float | None:
        """Seconds left at the pace so far; None when unknown."""
        fresh = self.done - self._before
        if self.total is None or fresh <= 0:
            return None
        return max(0, self.total - self.done) * self.elapsed / fresh

    def counted(self, unit: str) -> str:
        """Returns ``120/500 texts``."""
        total = f"/{quantities.count(self.total)}" if self.total is not None else ""
        return f"{quantities.count(self.done)}{total} {unit}".rstrip()


def measured(record: Mapping[str, Any]) -> str:
    """Returns the numbers of a round that are there: losses, accuracy, bytes, refusals, drop-outs."""
    parts = []
    for key, word in (
        ("train_loss", "train loss"),
        ("test_loss", "test loss"),
        ("test_accuracy", "accuracy"),
    ):
        if record.get(key) is not None:
            parts.append(f"{word} {quantities.decimal(float(record[key]))}")
    if record.get("upload_bytes") is not None:
        parts.append(f"{quantities.size(record['upload_bytes'] + record.get('download_bytes', 0))}")
    parts += [f"{len(record[key])} {key}" for key in ("refused", "dropped") if record.get(key)]
    return ", ".join(parts)


def _left(pace: Pace) -> str:
    left = pace.left
    return "" if left is None or pace.complete else f", {quantities.duration(left)} left"
