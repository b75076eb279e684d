"""Pixels to raw, deterministic latents."""


rule lay_out_latents:
    """Write the metadata of one autoencoder's latent store, once, before its shards are filled."""
    input:
        code=lambda wildcards: plan.codec("encode", wildcards.dataset, wildcards.autoencoder),
        files=lambda wildcards: plan.weights(wildcards.dataset, wildcards.autoencoder),
        images="results/images/{dataset}.zarr/zarr.json",
    output:
        layout="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
    log:
        "logs/encode/{dataset}/{autoencoder}/layout.log",
    wildcard_constraints:
        dataset=plan.encoded(),
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    params:
        spec=lambda wildcards: plan.loaded(wildcards.dataset, wildcards.autoencoder),
        shards=lambda wildcards: plan.cut(wildcards.dataset),
        images=store("images"),
        store=store("layout"),
    shell:
        "python -m pipeline.encode --spec {params.spec:q} --images {params.images:q} --store {params.store:q}"
        " --shards {params.shards} 2> {log:q}"


rule encode:
    """Fill one shard of one autoencoder's latents, with what lies beside them."""
    input:
        code=lambda wildcards: plan.codec("encode", wildcards.dataset, wildcards.autoencoder),
        files=lambda wildcards: plan.weights(wildcards.dataset, wildcards.autoencoder),
        images="results/images/{dataset}.zarr/zarr.json",
        image_shard=ancient("results/images/{dataset}.zarr/c/{shard}/0/0/0"),
        image_manifest="results/images/{dataset}/{shard}.json",
        layout="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
    output:
        shard="results/latents/{dataset}/{autoencoder}.zarr/c/{shard}/0/0/0",
        manifest="results/latents/{dataset}/{autoencoder}/{shard}.json",
        statistics="results/latents/{dataset}/{autoencoder}/{shard}.safetensors",
    log:
        "logs/encode/{dataset}/{autoencoder}/{shard}.log",
    benchmark:
        "logs/encode/{dataset}/{autoencoder}/{shard}.benchmark.tsv"
    wildcard_constraints:
        dataset=plan.encoded(),
    group:
        bundle(lambda wildcards: plan.with_codes(wildcards.dataset, wildcards.autoencoder, wildcards.shard))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("encode", accelerators)
    resources:
        mem_mb=plan.memory("encode", accelerators),
        runtime=plan.runtime("encode", accelerators),
        gpu=plan.gpu("encode", accelerators),
    params:
        spec=lambda wildcards: plan.loaded(wildcards.dataset, wildcards.autoencoder),
        images=store("images"),
        store=store("layout"),
    shell:
        "python -m pipeline.encode --spec {params.spec:q} --images {params.images:q}"
        " --image-manifest {input.image_manifest:q} --store {params.store:q} --shard {wildcards.shard}"
        " --manifest {output.manifest:q} --statistics {output.statistics:q} 2> {log:q}"
