"""Spaces to covariates of the gap: what they are like, apart from what any head makes of them."""


rule describe:
    """Measure dimension, rank, separability, similarity and spectrum of one autoencoder's spaces."""
    input:
        code=plan.code("describe"),
        index="results/index/{dataset}.parquet",
        layouts=lambda wildcards: [f"{folder}.zarr/zarr.json" for folder in plan.described(**wildcards)],
        shards=lambda wildcards: ancient(
            [path for folder in plan.described(**wildcards) for path in plan.shards(wildcards.dataset, folder)]
        ),
        manifests=lambda wildcards: [
            path for folder in plan.described(**wildcards) for path in plan.beside(wildcards.dataset, folder)
        ],
    output:
        "results/covariates/{dataset}/{autoencoder}.csv",
    log:
        "logs/describe/{dataset}/{autoencoder}.log",
    benchmark:
        "logs/describe/{dataset}/{autoencoder}.benchmark.tsv"
    group:
        bundle(lambda wildcards: plan.with_small_heads(**wildcards))
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("describe", accelerators),
        runtime=plan.runtime("describe", accelerators),
    params:
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        task=lambda wildcards: study.datasets[wildcards.dataset].task,
        plan=lambda wildcards: plan.description(**wildcards),
    shell:
        "python -m pipeline.describe --dataset {wildcards.dataset:q} --autoencoder {wildcards.autoencoder:q}"
        " --index {input.index:q} --classes {params.classes:q} --task {params.task} --plan {params.plan:q}"
        " --covariates {output:q} 2> {log:q}"


rule describe_study:
    """Put the covariates of all spaces below one another."""
    input:
        code=plan.code("collect"),
        tables=plan.covariates(),
    output:
        "results/covariates.csv",
    log:
        "logs/describe/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.collect --tables {input.tables:q} --table {output:q} 2> {log:q}"
