"""Latents back to pixels."""


rule lay_out_reconstructions:
    """Write the metadata of one autoencoder's reconstructions: that of the images, which they are compared with."""
    input:
        code=plan.code("excerpt"),
        layout="results/images/{dataset}.zarr/zarr.json",
    output:
        "results/reconstructions/{dataset}/{autoencoder}.zarr/zarr.json",
    log:
        "logs/decode/{dataset}/{autoencoder}/layout.log",
    wildcard_constraints:
        dataset=plan.encoded(),
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.excerpt --file {input.layout:q} --output {output:q} 2> {log:q}"


rule decode:
    """Fill one shard of one autoencoder's reconstructions."""
    input:
        code=lambda wildcards: plan.codec("decode", wildcards.dataset, wildcards.autoencoder),
        files=lambda wildcards: plan.weights(wildcards.dataset, wildcards.autoencoder),
        latents="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
        latent_shard=ancient("results/latents/{dataset}/{autoencoder}.zarr/c/{shard}/0/0/0"),
        latent_manifest="results/latents/{dataset}/{autoencoder}/{shard}.json",
        layout="results/reconstructions/{dataset}/{autoencoder}.zarr/zarr.json",
    output:
        shard="results/reconstructions/{dataset}/{autoencoder}.zarr/c/{shard}/0/0/0",
        manifest="results/reconstructions/{dataset}/{autoencoder}/{shard}.json",
    log:
        "logs/decode/{dataset}/{autoencoder}/{shard}.log",
    benchmark:
        "logs/decode/{dataset}/{autoencoder}/{shard}.benchmark.tsv"
    wildcard_constraints:
        dataset=plan.encoded(),
    group:
        bundle(lambda wildcards: plan.with_codes(wildcards.dataset, wildcards.autoencoder, wildcards.shard))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("decode", accelerators)
    resources:
        mem_mb=plan.memory("decode", accelerators),
        runtime=plan.runtime("decode", accelerators),
        gpu=plan.gpu("decode", accelerators),
    params:
        spec=lambda wildcards: plan.loaded(wildcards.dataset, wildcards.autoencoder),
        latents=store("latents"),
        store=store("layout"),
    shell:
        "python -m pipeline.decode --spec {params.spec:q} --latents {params.latents:q}"
        " --latent-manifest {input.latent_manifest:q} --store {params.store:q} --shard {wildcards.shard}"
        " --manifest {output.manifest:q} 2> {log:q}"
