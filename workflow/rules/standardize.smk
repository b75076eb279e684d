"""Channel statistics of latents, from training rows only."""


rule standardize:
    """Average what lies beside an autoencoder's shards over the training rows of each fold."""
    input:
        code=plan.code("standardize"),
        index="results/index/{dataset}.parquet",
        moments=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder), "safetensors"
        ),
    output:
        "results/latents/{dataset}/{autoencoder}.statistics.csv",
    log:
        "logs/standardize/{dataset}/{autoencoder}.log",
    # It reads a few numbers of each sample: less work than a batch job takes to start.
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    params:
        folds=lambda wildcards: plan.fold(wildcards.dataset, wildcards.autoencoder),
    shell:
        "python -m pipeline.standardize --index {input.index:q} --moments {input.moments:q} --folds {params.folds}"
        " --statistics {output:q} 2> {log:q}"
