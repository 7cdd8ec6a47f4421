# An archive instead of a grid: two rules, which train nothing.
import hashlib
from pathlib import Path

from snakemake.exceptions import WorkflowError

from gm import source
from gm.commands.scheduler import unlimited

settings = workflow.config_settings
if len(settings.config) > 1 or settings.configfiles:
    raise WorkflowError("--config archive=FILE.zip stands alone: no other key, no grid")
ARCHIVE = str(settings.config["archive"])
if not Path(ARCHIVE).is_file():
    raise WorkflowError(
        f"--config archive: no file {ARCHIVE}; expected what 'gm archive' wrote"
    )
ROOT = f"results/redrawn/{Path(ARCHIVE).stem}"
# To find out which functions draw takes longer than it saves: all code and templates count.
CODE = hashlib.sha256(
    b"".join(
        path.read_bytes()
        for path in sorted(source.PACKAGE.rglob("*"))
        if path.suffix in (".py", ".html", ".css", ".typ")
    )
).hexdigest()[:16]


onstart:
    unlimited(workflow)


rule figures:
    input:
        ARCHIVE,
    output:
        page=f"{ROOT}/report/index.html",
        table=f"{ROOT}/table.csv",
        record=f"{ROOT}/table.json",
    threads: workflow.cores or 1
    params:
        root=ROOT,
        code=CODE,
    shell:
        "gm figures {input:q} --out {params.root:q} --cores {threads}"


rule paper:
    input:
        table=rules.figures.output.table,
        record=rules.figures.output.record,
    output:
        paper=f"{ROOT}/paper.pdf",
        record=f"{ROOT}/paper.json",
        tables=directory(f"{ROOT}/tables"),
    params:
        code=lambda _: source.digest(source.fingerprint("gm.stages.paper")),
    shell:
        "gm paper --record {input.record:q} --paper {output.paper:q}"
        " --spec '{{}}' --code {params.code}"


missing = []  # no other rule made anything
