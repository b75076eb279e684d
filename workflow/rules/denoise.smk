"""Latents to denoisers, whose errors say how diffusable a space is."""


rule denoise:
    """Fit one denoiser to the latents of one autoencoder."""
    input:
        code=lambda wildcards: plan.denoiser_code("denoise", wildcards.denoiser),
        index="results/index/{dataset}.parquet",
        layout="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            plan.shards(wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder))
        ),
        manifests=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder)
        ),
    output:
        weights="results/denoisers/{dataset}/{autoencoder}/{denoiser}/weights.safetensors",
        held_out="results/denoisers/{dataset}/{autoencoder}/{denoiser}/held_out.csv",
        curve="results/denoisers/{dataset}/{autoencoder}/{denoiser}/curve.csv",
    log:
        "logs/denoise/{dataset}/{autoencoder}/{denoiser}.log",
    benchmark:
        "logs/denoise/{dataset}/{autoencoder}/{denoiser}.benchmark.tsv"
    group:
        bundle(lambda wildcards: plan.with_small_heads(wildcards.dataset, wildcards.autoencoder))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("denoise", accelerators)
    resources:
        mem_mb=plan.memory("denoise", accelerators),
        runtime=plan.runtime("denoise", accelerators),
        gpu=plan.gpu("denoise", accelerators),
    params:
        spec=lambda wildcards: plan.denoiser_settings(wildcards.denoiser),
        store=store("layout"),
        fold=lambda wildcards: plan.denoised_fold(wildcards.dataset, wildcards.autoencoder),
        # What an ended job has finished: Snakemake deletes that job's outputs, and knows nothing of this folder.
        unfinished=lambda wildcards: "results/denoisers/{dataset}/{autoencoder}/.{denoiser}".format(**wildcards),
    # exec: so that a signal to the job reaches the program.
    shell:
        "exec python -m pipeline.denoise --spec {params.spec:q} --index {input.index:q} --store {params.store:q}"
        " --manifests {input.manifests:q} --fold {params.fold} --weights {output.weights:q}"
        " --held-out {output.held_out:q} --curve {output.curve:q} --unfinished {params.unfinished:q} 2> {log:q}"
