rule prepare:
    output:
        data=f"{DATA}/data.npz",
        record=f"{DATA}/data.json",
    log:
        f"{DATA}/prepare.log",
    priority: 100
    params:
        spec=spec("prepare"),
        code=code("prepare"),
    shell:
        "gm prepare --data {output.data} --spec {params.spec:q} --code {params.code} > {log} 2>&1"
