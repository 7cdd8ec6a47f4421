rule evaluate:
    input:
        data=rules.prepare.output.data,
        ruler=rules.ruler.output.features,
        weights=rules.train.output.weights,
        samples=rules.sample.output.samples,
        scores=rules.score.output.scores,
        features=rules.embed.output.features,
        records=[
            rules.train.output.record,
            rules.sample.output.record,
            rules.score.output.record,
            rules.embed.output.record,
        ],
    output:
        metrics=f"{RUN}/metrics.csv",
        per_item=f"{RUN}/items.npz",
        record=f"{RUN}/metrics.json",
    log:
        f"{RUN}/evaluate.log",
    params:
        spec=spec("evaluate"),
        code=code("evaluate"),
    shell:
        "gm evaluate --data {input.data} --ruler {input.ruler} --weights {input.weights}"
        " --samples {input.samples} --scores {input.scores} --features {input.features}"
        " --metrics {output.metrics} --per_item {output.per_item} --seed {wildcards.seed}"
        " --spec {params.spec:q} --code {params.code} > {log} 2>&1"
