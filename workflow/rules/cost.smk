"""Heads to what they cost in each space: arithmetic, memory and time."""


rule cost:
    """Measure one head in the shapes of all spaces, in turns; it needs stores that are laid out, and no values."""
    input:
        code=lambda wildcards: plan.code("cost", "heads", wildcards.head),
        layouts=lambda wildcards: [f"{space['store']}/zarr.json" for space in plan.costed(wildcards.head)],
    output:
        "results/cost/{head}.csv",
    log:
        "logs/cost/{head}.log",
    benchmark:
        "logs/cost/{head}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    # More than a machine has are its own number: what runs beside it would be measured, too.
    threads: 64
    resources:
        mem_mb=plan.memory("cost", accelerators),
        runtime=plan.runtime("cost", accelerators),
        gpu=plan.gpu("cost", accelerators),
    params:
        spec=lambda wildcards: plan.spec("heads", wildcards.head),
        settings=study.entries.cost.settings(),
        spaces=lambda wildcards: json.dumps(plan.costed(wildcards.head)),
    shell:
        "python -m pipeline.cost --head {wildcards.head:q} --spec {params.spec:q} --settings {params.settings:q}"
        " --spaces {params.spaces:q} --table {output:q} 2> {log:q}"


rule cost_study:
    """Put the costs of all heads below one another."""
    input:
        code=plan.code("collect"),
        tables=expand("results/cost/{head}.csv", head=study.heads),
    output:
        "results/cost.csv",
    log:
        "logs/cost/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.collect --tables {input.tables:q} --table {output:q} 2> {log:q}"
