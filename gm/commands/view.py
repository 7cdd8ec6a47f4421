"""The live view of a run: one bar for the whole, one line for each long job; a line now and then without a terminal."""

import json
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

QUIET = 30.0
STALE = 120.0


def beats(root: Path) -> dict[str, tuple[int, int]]:
    """Running long jobs: `dataset/model/seed stage-output` to (step, total), from their heartbeat files."""
    found = {}
    for path in sorted(root.glob("*/*/*/.*.progress")):
        try:
            beat = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if time.time() - beat["time"] < STALE:
            job = path.relative_to(root).parent.as_posix()
            found[f"{job} {path.name.strip('.').split('.')[0]}"] = (beat["step"], beat["total"])
    return found


class View:
    """A context in which progress is shown; `steps` moves the whole, heartbeats move the jobs."""

    def __init__(self, root: Path, console: Console | None = None) -> None:
        self.root = root
        self.console = console or Console(stderr=True)
        self.live = self.console.is_terminal
        self.started = time.monotonic()
        self.printed = self.started
        self.done, self.total = 0, 0
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        self.bars = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=self.console, transient=True)
        self.whole = self.bars.add_task("jobs", total=None)
        self.tasks: dict[str, int] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "View":
        if self.live:
            self.bars.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        if self.live:
            self.bars.stop()
        if self.done:
            minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
            self.say(f"{self.done} of {self.total} jobs in {minutes} min {seconds:02d} s")

    def say(self, text: str) -> None:
        """Print one line, above the bars if there are any."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def steps(self, done: int, total: int) -> None:
        """Move the bar of the whole; without a terminal, print a line at most every half minute."""
        self.done, self.total = done, total
        self.bars.update(self.whole, completed=done, total=total)
        now = time.monotonic()
        if not self.live and (now - self.printed > QUIET or done == total):
            self.printed = now
            elapsed = now - self.started
            left = elapsed / done * (total - done)
            self.say(f"{done}/{total} jobs, {elapsed / 60:.1f} min, about {left / 60:.1f} min left")

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            running = beats(self.root) if self.live else {}
            for name, (step, total) in running.items():
                if name not in self.tasks:
                    self.tasks[name] = self.bars.add_task(f"  {name}", total=total)
                self.bars.update(self.tasks[name], completed=step, total=total)
            for name in set(self.tasks) - set(running):
                self.bars.remove_task(self.tasks.pop(name))
