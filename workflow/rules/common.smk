# The grid and two helpers, spec() and code(): the only Python of the workflow.
import os
import sys

sys.path.insert(0, workflow.basedir)
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]

from snakemake.exceptions import WorkflowError

from gm import plan
from gm.config import ConfigError

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


def spec(stage):
    """The slice of the configuration that a job depends on, as JSON."""
    return lambda wildcards: PLAN.spec(stage, **wildcards)


def code(stage):
    """Digest of the code that a job imports."""
    return lambda wildcards: PLAN.code(stage, **wildcards)
