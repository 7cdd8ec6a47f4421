rule report:
    input:
        [f"{ROOT}/{d}/{m}/{s}/metrics.csv" for d, m, s in PLAN.runs],
    output:
        f"{ROOT}/table.csv",
        f"{ROOT}/report/index.html",
    params:
        spec=spec("report"),
        code=code("report"),
    shell:
        "gm report --root {ROOT} --spec {params.spec:q} --code {params.code}"
