rule sample:
    input:
        data=rules.prepare.output.data,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
    output:
        samples=f"{RUN}/samples.npz",
        record=f"{RUN}/samples.json",
    log:
        f"{RUN}/sample.log",
    resources:
        gpu=gpu("sample"),
    params:
        spec=spec("sample"),
        code=code("sample"),
    shell:
        "gm sample --data {input.data} --weights {input.weights} --samples {output.samples}"
        " --seed {wildcards.seed} --spec {params.spec:q} --code {params.code} > {log} 2>&1"
