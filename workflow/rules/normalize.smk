"""Raw files to pixels in [0, 1] at one size."""


rule lay_out_images:
    """Write the metadata of a data set's image store, once, before its shards are filled."""
    input:
        code=plan.code("normalize"),
        rows="results/inspected/{dataset}.rows",
    output:
        layout="results/images/{dataset}.zarr/zarr.json",
    log:
        "logs/normalize/{dataset}/layout.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    params:
        spec=lambda wildcards: study.datasets[wildcards.dataset].pixels.written(),
        shards=lambda wildcards: study.datasets[wildcards.dataset].shards,
        store=store("layout"),
    shell:
        "python -m pipeline.normalize --spec {params.spec:q} --rows {input.rows:q} --store {params.store:q}"
        " --shards {params.shards} 2> {log:q}"


rule normalize:
    """Fill one shard of a data set's images; all processors decode."""
    input:
        code=plan.code("normalize"),
        sources="results/inspected/{dataset}/{shard}.sha256",
        mapping=ancient("private/{dataset}.mapping.csv"),
        layout="results/images/{dataset}.zarr/zarr.json",
    output:
        shard="results/images/{dataset}.zarr/c/{shard}/0/0/0",
        manifest="results/images/{dataset}/{shard}.json",
        samples="results/images/{dataset}/{shard}.parquet",
    log:
        "logs/normalize/{dataset}/{shard}.log",
    benchmark:
        "logs/normalize/{dataset}/{shard}.benchmark.tsv"
    # As early as inspecting: what decoding finds may stop the study, too.
    priority: 100
    group:
        bundle(lambda wildcards: plan.with_images(wildcards.dataset, wildcards.shard))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("normalize", accelerators)
    resources:
        mem_mb=plan.memory("normalize", accelerators),
        runtime=plan.runtime("normalize", accelerators),
    params:
        spec=lambda wildcards: study.datasets[wildcards.dataset].pixels.written(),
        root=lambda wildcards: study.datasets[wildcards.dataset].root,
        store=store("layout"),
    shell:
        "python -m pipeline.normalize --spec {params.spec:q} --mapping {input.mapping:q} --root {params.root:q}"
        " --store {params.store:q} --shard {wildcards.shard} --manifest {output.manifest:q}"
        " --samples {output.samples:q} --workers {threads} 2> {log:q}"
