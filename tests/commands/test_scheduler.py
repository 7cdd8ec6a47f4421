"""The default limit on new jobs is lifted, and one that was asked for is kept."""

from types import SimpleNamespace

import pytest
from snakemake.settings.types import MaxJobsPerTimespan

from gm.commands.scheduler import unlimited


@pytest.mark.parametrize(("given", "kept"), [("100/1s", False), ("100/1m", True), ("10/1s", True), (None, True)])
def test_only_the_default_is_lifted(given, kept):
    limit = given and MaxJobsPerTimespan.parse_choice(given)
    settings = SimpleNamespace(max_jobs_per_timespan=limit)
    workflow = SimpleNamespace(scheduling_settings=settings, scheduler=SimpleNamespace(job_rate_limiter="limiter"))
    unlimited(workflow)
    assert workflow.scheduler.job_rate_limiter == ("limiter" if kept else None)
