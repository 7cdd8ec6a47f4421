"""gm retry: clear failed runs, so that the next run makes them again."""

import argparse
import shutil
from pathlib import Path

from gm import plan
from gm.commands.lock import lock
from gm.commands.status import states


def main(arguments: list[str]) -> int:
    """Remove the folders of runs whose status is a failure."""
    parser = argparse.ArgumentParser("gm retry", description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    planned = plan.read(parser.parse_args(arguments).grid)
    root = Path(planned.root)
    with lock(root.parent):
        failed = [run for run, (state, _) in states(planned).items() if state not in ("ok", "missing")]
        for dataset, model, seed in failed:
            shutil.rmtree(root / dataset / model / str(seed))
            print(f"cleared {dataset}/{model}/{seed}")
    print(f"{len(failed)} failed runs cleared")
    return 0
