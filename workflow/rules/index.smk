"""Which samples there are, of whom, with which label, in which fold."""


rule salt:
    """Draw the secret with which identifiers are hashed; keep it, or every identifier changes."""
    output:
        "private/salt",
    log:
        "logs/salt.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -c 'import secrets; print(secrets.token_hex(32))' > {output:q} 2> {log:q}"


rule index:
    """Read every file of a data set once, refuse what cannot be trusted, and assign folds."""
    input:
        code=lambda wildcards: plan.code("index", "datasets", wildcards.dataset),
        inventory=lambda wildcards: plan.inventory(wildcards.dataset),
        tables=lambda wildcards: study.datasets[wildcards.dataset].tables(),
        salt=ancient("private/salt"),
    output:
        index="results/index/{dataset}.parquet",
        rejected="results/index/{dataset}.rejected.csv",
        mapping="private/{dataset}.mapping.csv",
        rejected_paths="private/{dataset}.rejected.csv",
    log:
        "logs/index/{dataset}.log",
    # Before everything else, so that input that cannot be trusted stops a study before it has cost anything.
    priority: 100
    conda:
        "../envs/pipeline.yaml"
    params:
        spec=lambda wildcards: plan.spec("datasets", wildcards.dataset),
    shell:
        "python -m pipeline.index --spec {params.spec:q} --inventory {input.inventory:q} --salt {input.salt:q}"
        " --index {output.index:q} --mapping {output.mapping:q} --rejected {output.rejected:q}"
        " --rejected-paths {output.rejected_paths:q} --workers {threads} 2> {log:q}"
