# The grid and five helpers, spec(), code(), gpu(), handed_in() and missing(): the only Python of the workflow.
import gc
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from gm import plan
from gm.commands import lock, records
from gm.commands.scheduler import unlimited
from gm.config import ConfigError

# The graph of jobs only grows until they start: to look through it for garbage takes a fifth of the planning.
gc.disable()

try:
    settings = workflow.config_settings
    default = f"{workflow.basedir}/config/digits.yaml"
    PLAN = plan.read(plan.grid_file(settings.configfiles, settings.config, default))
except ConfigError as error:
    raise WorkflowError(f"configuration error\n{error}") from None

ROOT = PLAN.root
DATA = f"{ROOT}/{{dataset}}"
RUN = f"{ROOT}/{{dataset}}/{{model}}/{{seed}}"


wildcard_constraints:
    dataset="|".join(PLAN.datasets),
    model="|".join(PLAN.models),
    seed=r"\d+",


onstart:
    gc.enable()
    # one run at a time, whether 'gm run' or 'snakemake' began it
    try:
        lock.keep(Path(ROOT).parent)
    except lock.Busy as error:
        raise WorkflowError(str(error)) from None
    unlimited(workflow)


def spec(stage):
    """The slice of the configuration that a job depends on, as JSON."""
    return lambda wildcards: PLAN.spec(stage, **wildcards)


def code(stage):
    """Digest of the code that a job imports."""
    return lambda wildcards: PLAN.code(stage, **wildcards)


def gpu(stage):
    """The number of GPUs that a job asks for; a plain 0, which costs less, where no contestant wants one."""
    if not any(PLAN.gpus(stage, model=model) for model in PLAN.models):
        return 0
    return lambda wildcards: PLAN.gpus(stage, **wildcards)


def handed_in(wildcards):
    """Files of an external contestant; nothing for a model that is trained here."""
    files = PLAN.slice("train", **wildcards).get("external", {})
    return [path for path in files.values() if path]


def missing(_):
    """What a finished benchmark has lost: nothing else asks for a file that only earlier jobs read."""
    if not os.path.exists(f"{ROOT}/report/index.html"):
        return []
    made = [*map(str, records.files(PLAN)), *rules.report.output]
    return [path for path in made if not os.path.exists(path)]
