"""Spaces and their denoisers to diffusability."""


rule diffusability:
    """Measure Fisher information, its rate and the MMSE rate in the latents of one autoencoder."""
    input:
        code=lambda wildcards: plan.denoiser_code("diffusability", wildcards.denoiser),
        weights="results/denoisers/{dataset}/{autoencoder}/{denoiser}/weights.safetensors",
        index="results/index/{dataset}.parquet",
        layout="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            plan.shards(wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder))
        ),
        manifests=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder)
        ),
    output:
        "results/diffusability/{dataset}/{autoencoder}/{denoiser}.csv",
    log:
        "logs/diffusability/{dataset}/{autoencoder}/{denoiser}.log",
    benchmark:
        "logs/diffusability/{dataset}/{autoencoder}/{denoiser}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    params:
        entry=lambda wildcards: plan.member(wildcards.dataset, wildcards.autoencoder).entry,
        spec=lambda wildcards: plan.denoiser_settings(wildcards.denoiser),
        settings=plan.measured_how(),
        store=store("layout"),
        fold=lambda wildcards: plan.denoised_fold(wildcards.dataset, wildcards.autoencoder),
    shell:
        "python -m pipeline.diffusability --dataset {wildcards.dataset:q} --autoencoder {params.entry:q}"
        " --denoiser {wildcards.denoiser:q} --spec {params.spec:q} --settings {params.settings:q}"
        " --index {input.index:q} --store {params.store:q} --manifests {input.manifests:q} --fold {params.fold}"
        " --weights {input.weights:q} --diffusability {output:q} 2> {log:q}"


rule diffusability_study:
    """Put the measurements of all spaces below one another."""
    input:
        code=plan.code("collect"),
        tables=plan.diffusabilities(),
    output:
        "results/diffusability.csv",
    log:
        "logs/diffusability/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.collect --tables {input.tables:q} --table {output:q} 2> {log:q}"
