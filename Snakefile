"""Deep generative models, benchmarked: prepare -> train -> sample -> score -> embed -> evaluate -> report.

snakemake --cores 2                                        the default benchmark, config/digits.yaml
snakemake --cores 2 --configfile path/to/grid.yaml         any other grid
snakemake --workflow-profile workflow/profiles/slurm       on a cluster
snakemake --report results/digits/snakemake.zip            Snakemake's own report of a finished run
snakemake --cores 1 paper                                  the paper: a PDF, and its tables as LaTeX and CSV
snakemake --cores 1 figures --config archive=digits.zip    figures and report of an archive, nothing trained
"""

import os
import sys

from snakemake.utils import min_version

min_version("9.12")
sys.path.insert(0, workflow.basedir)
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()])
)


report: "workflow/report/workflow.rst"


if "archive" in workflow.config_settings.config:

    include: "workflow/rules/archive.smk"

else:

    include: "workflow/rules/common.smk"
    include: "workflow/rules/prepare.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/sample.smk"
    include: "workflow/rules/score.smk"
    include: "workflow/rules/embed.smk"
    include: "workflow/rules/evaluate.smk"
    include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"{ROOT}/report/index.html",
        f"{ROOT}/table.csv",
        missing,
