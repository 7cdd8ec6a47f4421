"""The live view of a run: one bar for the whole, one line for each long job; a line now and then without a terminal."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

QUIET = 30.0
STALE = 120.0
# Rough work of a job relative to the lightest, for the time that is left; a wrong guess only makes the estimate drift.
WEIGHTS = {"train": 20.0, "score": 5.0, "sample": 3.0, "ruler": 8.0, "report": 40.0}


def beats(root: Path) -> dict[str, tuple[int, int]]:
    """Running long jobs: `dataset output` or `dataset/model/seed output` to (step, total), from heartbeat files."""
    found = {}
    for path in sorted([*root.glob("*/.*.progress"), *root.glob("*/*/*/.*.progress")]):
        try:
            beat = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if time.time() - beat["time"] < STALE:
            job = path.relative_to(root).parent.as_posix()
            found[f"{job} {path.name.strip('.').split('.')[0]}"] = (beat["step"], beat["total"])
    return found


class View:
    """A context in which progress is shown: `finished` moves the whole, heartbeats move the jobs.

    Arguments:
        root: the benchmark's folder.
        due: number of jobs to do, by stage.
        console: where to draw; standard error by default.
    """

    def __init__(self, root: Path, due: Mapping[str, int], console: Console | None = None) -> None:
        self.root = root
        self.console = console or Console(stderr=True)
        self.live = self.console.is_terminal
        self.started = time.monotonic()
        self.printed = self.started
        self.done, self.total = 0, sum(due.values())
        self.work, self.all_work = 0.0, sum(WEIGHTS.get(stage, 1.0) * count for stage, count in due.items())
        columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}")]
        self.bars = Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True)
        self.whole = self.bars.add_task("jobs", total=max(self.all_work, 1.0), text=f"0/{self.total}")
        self.tasks: dict[str, int] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "View":
        if self.live and self.total:
            self.bars.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.bars.stop()
        if self.done:
            minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
            self.say(f"{self.done} of {self.total} jobs in {minutes} min {seconds:02d} s")

    def say(self, text: str) -> None:
        """Print one line, above the bars if there are any."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def finished(self, stage: str) -> None:
        """A job is done. Without a terminal a line appears at most every half minute."""
        if stage == "all":
            return
        self.done, self.work = self.done + 1, self.work + WEIGHTS.get(stage, 1.0)
        self.total = max(self.total, self.done)
        now = time.monotonic()
        left = (now - self.started) * max(self.all_work - self.work, 0.0) / self.work
        text = f"{self.done}/{self.total}, about {left / 60:.1f} min left"
        self.bars.update(self.whole, completed=self.work, text=text)
        if not self.live and now - self.printed > QUIET:
            self.printed = now
            self.say(f"{(now - self.started) / 60:.1f} min: {text}")

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            running = beats(self.root) if self.live else {}
            for name, (step, total) in running.items():
                if name not in self.tasks:
                    self.tasks[name] = self.bars.add_task(f"  {name}", total=total, text="")
                self.bars.update(self.tasks[name], completed=step, total=total, text=f"{step}/{total}")
            for name in set(self.tasks) - set(running):
                self.bars.remove_task(self.tasks.pop(name))
