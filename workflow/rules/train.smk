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
    priority: 50
    resources:
        gpu=gpu("train"),
    params:
        spec=spec("train"),
        code=code("train"),
    shell:
        "gm train --data {input.data} --weights {output.weights} --history {output.history}"
        " --seed {wildcards.seed} --spec {params.spec:q} --code {params.code} > {log} 2>&1"
