# The ruler is made once per dataset: networks fitted on real data alone, and the real splits seen through them.
rule ruler:
    input:
        data=rules.prepare.output.data,
    output:
        features=f"{DATA}/ruler/features.npz",
        weights=f"{DATA}/ruler/model.safetensors",
        trivial=f"{DATA}/ruler/trivial.npz",
        record=f"{DATA}/ruler/features.json",
    log:
        f"{DATA}/ruler/ruler.log",
    priority: 90
    params:
        spec=spec("ruler"),
        code=code("ruler"),
    shell:
        "gm ruler --data {input.data} --features {output.features} --weights {output.weights}"
        " --trivial {output.trivial} --spec {params.spec:q} --code {params.code} > {log} 2>&1"


rule embed:
    input:
        samples=rules.sample.output.samples,
        record=rules.sample.output.record,
        ruler=rules.ruler.output.weights,
    output:
        features=f"{RUN}/features.npz",
        record=f"{RUN}/features.json",
    log:
        f"{RUN}/embed.log",
    params:
        spec=spec("embed"),
        code=code("embed"),
    shell:
        "gm embed --samples {input.samples} --ruler {input.ruler} --features {output.features}"
        " --seed {wildcards.seed} --spec {params.spec:q} --code {params.code} > {log} 2>&1"
