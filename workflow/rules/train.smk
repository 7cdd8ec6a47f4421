def handed_in(wildcards):
    """Files of an external contestant; nothing for a model that is trained here."""
    spec = PLAN.slice("train", **wildcards)
    return [path for path in spec.get("external", {}).values() if path]


rule train:
    input:
        data=rules.prepare.output.data,
        files=handed_in,
    output:
        weights=f"{RUN}/model.safetensors",
        history=f"{RUN}/history.csv",
        record=f"{RUN}/model.json",
    log:
        f"{RUN}/train.log",
    params:
        spec=spec("train"),
        code=code("train"),
    priority: 50
    shell:
        "gm train --data {input.data} --weights {output.weights} --history {output.history}"
        " --seed {wildcards.seed} --spec {params.spec:q} --code {params.code} > {log} 2>&1"
