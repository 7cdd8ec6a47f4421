"""Make a workflow's results up: every output there and empty, all of one time, with the metadata that Snakemake keeps.

    python tests/performance/made.py SNAKEFILE [CONFIGFILE]         in the folder where the results go

A grid of 10,000 runs then counts as made without the days that it takes. The outputs and the metadata are those of
Snakemake's own graph, by `workflow.persistence` of Snakemake 9, which is not in its public interface.
"""

import os
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

MOMENT = (1e9, 1e9)


def make(jobs: list) -> None:
    """Empty files, and folders with Snakemake's time stamp in them, for all outputs of all jobs."""
    for file in (file for job in jobs for file in job.output):
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.is_directory:
            path.mkdir(exist_ok=True)
            path /= ".snakemake_timestamp"
        path.touch()
        os.utime(path, MOMENT)


async def note(jobs: list, persistence: object) -> None:
    """The metadata of finished jobs."""
    for job in jobs:
        await persistence.finished(job)


def main(snakefile: str, *configfile: str) -> None:
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        settings = {"resource_settings": ResourceSettings(cores=1)}
        settings["config_settings"] = ConfigSettings(configfiles=[Path(file) for file in configfile])
        opened = api.workflow(**settings, snakefile=Path(snakefile))
        opened.dag().execute_workflow(executor="dryrun")
        workflow = opened._workflow
        jobs = list(workflow.dag.jobs)
        make(jobs)
        workflow.async_run(note(jobs, workflow.persistence))


if __name__ == "__main__":
    main(*sys.argv[1:])
