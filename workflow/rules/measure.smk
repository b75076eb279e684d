"""How faithful the reconstructions are."""


rule measure:
    """Measure one shard of one autoencoder's reconstructions against the images."""
    input:
        code=plan.code("measure"),
        lpips=study.entries.fidelity.lpips or [],
        images="results/images/{dataset}.zarr/zarr.json",
        image_shard=ancient("results/images/{dataset}.zarr/c/{shard}/0/0/0"),
        image_manifest="results/images/{dataset}/{shard}.json",
        layout="results/reconstructions/{dataset}/{autoencoder}.zarr/zarr.json",
        shard=ancient("results/reconstructions/{dataset}/{autoencoder}.zarr/c/{shard}/0/0/0"),
        manifest="results/reconstructions/{dataset}/{autoencoder}/{shard}.json",
    output:
        "results/fidelity/{dataset}/{autoencoder}/{shard}.parquet",
    log:
        "logs/measure/{dataset}/{autoencoder}/{shard}.log",
    benchmark:
        "logs/measure/{dataset}/{autoencoder}/{shard}.benchmark.tsv"
    group:
        bundle(lambda wildcards: plan.with_codes(wildcards.dataset, wildcards.autoencoder, wildcards.shard))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("measure", accelerators)
    resources:
        mem_mb=plan.memory("measure", accelerators),
        runtime=plan.runtime("measure", accelerators),
        gpu=plan.gpu("measure", accelerators),
    params:
        images=store("images"),
        store=store("layout"),
    shell:
        "python -m pipeline.measure --images {params.images:q} --image-manifest {input.image_manifest:q}"
        " --reconstructions {params.store:q} --reconstruction-manifest {input.manifest:q} --shard {wildcards.shard}"
        " --fidelity {output:q} --lpips {input.lpips:q} 2> {log:q}"


if study.entries.fidelity.features:

    rule embed:
        """Take the features of one shard of one autoencoder's reconstructions; identity's are those of the images."""
        input:
            code=plan.code("embed"),
            weights=study.entries.fidelity.features.weights,
            layout="results/reconstructions/{dataset}/{autoencoder}.zarr/zarr.json",
            shard=ancient("results/reconstructions/{dataset}/{autoencoder}.zarr/c/{shard}/0/0/0"),
            manifest="results/reconstructions/{dataset}/{autoencoder}/{shard}.json",
        output:
            "results/fidelity/{dataset}/{autoencoder}/{shard}.features.safetensors",
        log:
            "logs/measure/{dataset}/{autoencoder}/{shard}.features.log",
        benchmark:
            "logs/measure/{dataset}/{autoencoder}/{shard}.features.benchmark.tsv"
        group:
            bundle(lambda wildcards: plan.with_codes(wildcards.dataset, wildcards.autoencoder, wildcards.shard))
        conda:
            "../envs/pipeline.yaml"
        threads: plan.threads("embed", accelerators)
        resources:
            mem_mb=plan.memory("embed", accelerators),
            runtime=plan.runtime("embed", accelerators),
            gpu=plan.gpu("embed", accelerators),
        params:
            spec=study.entries.fidelity.features.written(),
            store=store("layout"),
        shell:
            "python -m pipeline.embed --spec {params.spec:q} --reconstructions {params.store:q}"
            " --manifest {input.manifest:q} --shard {wildcards.shard} --features {output:q} 2> {log:q}"
