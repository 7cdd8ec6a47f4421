"""Snakemake's scheduler, spared what it does not need."""


def unlimited(workflow: object) -> None:
    """Lift Snakemake's default limit of 100 new jobs a second, at the start of a run; one that was asked for is kept.

    The limit leaves a timer behind for every job that ends, which wakes the scheduler once a second from then on: after
    2000 jobs they take a core, and the last one delays the end of every run by a second.

    Arguments:
        workflow: Snakemake's own, as a Snakefile sees it.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
