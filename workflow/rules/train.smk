"""One head in one space, over every fold and seed."""

FOLDER = {"latent": "latents", "reconstruction": "reconstructions"}


rule train:
    """Train one head in the latent or the reconstruction space of one autoencoder."""
    input:
        code=lambda wildcards: code("pipeline.train", family("heads", study.heads[wildcards.head])),
        index="results/index/{dataset}.parquet",
        layout=lambda wildcards: f"results/{FOLDER[wildcards.space]}/{wildcards.dataset}/{wildcards.autoencoder}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            shards(
                "results/{folder}/{dataset}/{autoencoder}.zarr/c/{shard}/0/0/0",
                folder=FOLDER[wildcards.space],
                dataset=wildcards.dataset,
                autoencoder=wildcards.autoencoder,
            )
        ),
        manifests=lambda wildcards: shards(
            "results/{folder}/{dataset}/{autoencoder}/{shard}.json",
            folder=FOLDER[wildcards.space],
            dataset=wildcards.dataset,
            autoencoder=wildcards.autoencoder,
        ),
    output:
        predictions="results/heads/{dataset}/{autoencoder}/{space}/{head}/predictions.parquet",
        weights="results/heads/{dataset}/{autoencoder}/{space}/{head}/heads.safetensors",
        curves="results/heads/{dataset}/{autoencoder}/{space}/{head}/curves.csv",
    log:
        "logs/train/{dataset}/{autoencoder}/{space}/{head}.log",
    benchmark:
        "logs/train/{dataset}/{autoencoder}/{space}/{head}.benchmark.tsv"
    wildcard_constraints:
        space="latent|reconstruction",
    conda:
        "../envs/pipeline.yaml"
    params:
        spec=lambda wildcards: study.heads[wildcards.head].written(),
        store=lambda wildcards: f"results/{FOLDER[wildcards.space]}/{wildcards.dataset}/{wildcards.autoencoder}.zarr",
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        size=lambda wildcards: study.datasets[wildcards.dataset].pixels.size,
        folds=lambda wildcards: study.datasets[wildcards.dataset].folds,
        seeds=study.entries.seeds,
    shell:
        "python -m pipeline.train --spec {params.spec:q} --index {input.index:q} --store {params.store:q}"
        " --manifests {input.manifests:q} --classes {params.classes:q} --image-size {params.size}"
        " --folds {params.folds} --seeds {params.seeds} --predictions {output.predictions:q}"
        " --weights {output.weights:q} --curves {output.curves:q} 2> {log:q}"
