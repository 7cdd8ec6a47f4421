"""The command line: the seven verbs that Snakemake's rules call, and the commands that people call."""

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_variable] = "1"  # one thread per job: the scheduler supplies the parallelism, sums keep their order

import signal
import sys
from importlib import import_module

from gm.commands import forks

STAGES = {
    "prepare": "dataset -> data.npz",
    "train": "data.npz -> model.safetensors, history.csv",
    "sample": "model.safetensors -> samples.npz",
    "score": "model.safetensors -> scores.npz",
    "ruler": "data.npz -> the metric's networks, and the real splits seen through them",
    "embed": "samples.npz -> features.npz",
    "evaluate": "arrays -> metrics.csv",
    "report": "metrics.csv of all runs -> tables, figures, report/index.html",
    "paper": "tables and figures of a report -> paper.pdf, tables as LaTeX and CSV",
}
COMMANDS = {
    "run": "make a benchmark: Snakemake under a lock, with progress",
    "plan": "what would be made, and how many jobs",
    "why": "why a target would be made again: which key or which function changed",
    "status": "what is done, failed or missing",
    "retry": "clear failed runs, so that the next run makes them again",
    "archive": "pack a finished benchmark into one zip file",
    "figures": "redraw every figure and the report of an archive",
    "verify": "check an archive's hashes, remake its tables, and retrain a few of its runs",
    "diff": "which numbers of two archives differ, by how much, and what else does",
    "merge": "join archives whose runs do not contradict each other",
    "trace": "what a figure was drawn from, and whether its table is still that one",
    "check": "run the model contract on any importable class",
}


def _stage(verb: str, arguments: list[str]) -> int:
    import argparse
    import json
    from pathlib import Path
    from typing import get_type_hints

    from gm.stages.job import StaleCode, module_of, run

    first = argparse.ArgumentParser(f"gm {verb}", add_help=False, allow_abbrev=False)
    first.add_argument("--spec", type=json.loads, default={})
    stage = import_module(module_of(verb, first.parse_known_args(arguments)[0].spec))
    hints = get_type_hints(stage.run, include_extras=True)
    paths = [name for name, hint in hints.items() if getattr(hint, "__metadata__", ("",))[0] in ("input", "output")]
    parser = argparse.ArgumentParser(f"gm {verb}", description=STAGES[verb])
    for name in paths:
        parser.add_argument(f"--{name}", type=Path, required=True, help=hints[name].__metadata__[0])
    parser.add_argument("--spec", type=json.loads, required=True, help="this job's slice of the configuration, JSON")
    parser.add_argument("--code", help="digest of the planned code; refuse to run any other")
    parser.add_argument("--seed", type=int, help="the run's seed")
    given = vars(parser.parse_args(arguments))
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    try:
        run(stage, **given)
    except StaleCode as error:
        print(f"gm {verb}: {error}", file=sys.stderr)
        return 4
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit codes: 0 done, 1 machine's error, 2 usage or configuration, 3 some runs failed, 4 busy."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments = arguments or ["--help"]
    done = forks.delegate(arguments)
    if done is not None:
        return done
    if arguments[:1] == ["serve"]:
        return forks.serve(arguments[1:], local)
    return local(arguments)


def local(arguments: list[str]) -> int:
    """Run one command in this process."""
    import argparse

    from gm import __version__, io
    from gm.commands.lock import Busy
    from gm.config import ConfigError

    parser = argparse.ArgumentParser("gm", formatter_class=argparse.RawDescriptionHelpFormatter, description=_help())
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("verb", choices=[*STAGES, *COMMANDS], metavar="command")
    options = parser.parse_args(arguments[:1])
    try:
        if options.verb in STAGES:
            return _stage(options.verb, arguments[1:])
        code = import_module(f"gm.commands.{options.verb}").main(arguments[1:])
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the words, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except ConfigError as error:
        print(f"gm {options.verb}: configuration error\n{error}", file=sys.stderr)
        return 2
    except Busy as error:
        print(f"gm {options.verb}: {error}", file=sys.stderr)
        return 4
    except io.Damaged as error:
        print(f"gm {options.verb}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if options.verb in STAGES and error.errno not in io.UNWRITABLE:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"gm {options.verb}: {place}{error.strerror or error}", file=sys.stderr)
        return 1


def _help() -> str:
    lines = ["Benchmark deep generative models, reproducibly.", "", "for people:"]
    lines += [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    lines += ["", "stages, as the workflow calls them:"]
    return "\n".join(lines + [f"  {name:<10}{text}" for name, text in STAGES.items()])


if __name__ == "__main__":
    sys.exit(main())
