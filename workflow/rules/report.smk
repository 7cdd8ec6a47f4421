CATEGORIES = {
    "images": {
        "coverage": "Overview",
        "samples": "Samples",
        "likelihood": "Likelihood",
        "ladder": "Likelihood",
        "observation": "Likelihood",
        "fidelity": "Fidelity",
        "extrapolation": "Fidelity",
        "diversity": "Fidelity",
        "classes": "Fidelity",
        "ranks": "Fidelity",
        "agreement": "Fidelity",
        "roc": "Outliers",
        "auroc": "Outliers",
        "ecdf": "Outliers",
        "scores": "Outliers",
        "distances": "Memorisation",
        "membership": "Privacy",
        "leakage": "Privacy",
        "plane": "Privacy",
        "augmentation": "Use",
        "training": "Training",
        "cost": "Cost",
    },
    "targets": {
        "coverage": "Overview",
        "overview": "Overview",
        "logz": "log Z",
        "honesty": "log Z",
        "draws": "Draws",
        "efficiency": "Draws",
        "difficulty": "Difficulty",
        "evals": "Cost",
    },
}
TABLES = ["summary", "paired", "checks", "status", "cost"]
TABLES += ["pooled", "scaling"] if PLAN.judges == "targets" else ["ranks"]
# All that the report reads: where results live in object storage, a job sees its declared inputs and nothing else.
OF_DATASET = ["data.npz", "data.json"]
OF_DATASET += [
    f"ruler/{name}" for name in ("features.npz", "features.json", "trivial.npz")
]
OF_RUN = ["history.csv", "items.npz", "metrics.csv", "samples.npz", "scores.npz"]
OF_RUN += [
    f"{name}.json" for name in ("model", "samples", "scores", "features", "metrics")
]


rule report:
    input:
        data=[f"{ROOT}/{d}/{name}" for d in PLAN.datasets for name in OF_DATASET],
        runs=[f"{ROOT}/{d}/{m}/{s}/{name}" for d, m, s in PLAN.runs for name in OF_RUN],
    output:
        table=f"{ROOT}/table.csv",
        tables=[f"{ROOT}/{name}.csv" for name in TABLES],
        record=f"{ROOT}/table.json",
        page=f"{ROOT}/report/index.html",
        figures=[
            report(
                directory(f"{ROOT}/figures/{figure}"),
                patterns=["{dataset}.svg"],
                caption=f"../report/{figure}.rst",
                category=category,
                labels={"figure": figure, "dataset": "{dataset}"},
            )
            for figure, category in CATEGORIES[PLAN.judges].items()
        ],
    log:
        f"{ROOT}/report.log",
    params:
        spec=spec("report"),
        code=code("report"),
    shell:
        "gm report --table {output.table} --page {output.page}"
        " --spec {params.spec:q} --code {params.code} > {log} 2>&1"


rule paper:
    input:
        rules.report.output.tables,
        rules.report.output.figures,
        rules.report.input.data,
        rules.report.input.runs,
        table=rules.report.output.table,
        record=rules.report.output.record,
    output:
        paper=f"{ROOT}/paper.pdf",
        record=f"{ROOT}/paper.json",
        tables=directory(f"{ROOT}/tables"),
    log:
        f"{ROOT}/paper.log",
    params:
        spec=spec("paper"),
        code=code("paper"),
    shell:
        "gm paper --record {input.record} --paper {output.paper}"
        " --spec {params.spec:q} --code {params.code} > {log} 2>&1"
