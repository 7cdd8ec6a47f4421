rule score:
    input:
        data=rules.prepare.output.data,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
    output:
        scores=f"{RUN}/scores.npz",
        record=f"{RUN}/scores.json",
    log:
        f"{RUN}/score.log",
    priority: 20
    resources:
        gpu=gpu("score"),
    params:
        spec=spec("score"),
        code=code("score"),
    shell:
        "gm score --data {input.data} --weights {input.weights} --scores {output.scores}"
        " --seed {wildcards.seed} --spec {params.spec:q} --code {params.code} > {log} 2>&1"
