"""One head in one space, over every fold and seed."""


rule train:
    """Train one head in the latent or the reconstruction space of one autoencoder."""
    input:
        code=lambda wildcards: plan.code("train", "heads", wildcards.head),
        index="results/index/{dataset}.parquet",
        layout=lambda wildcards: f"{plan.space(wildcards.space, wildcards.dataset, wildcards.autoencoder)}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            plan.shards(wildcards.dataset, plan.space(wildcards.space, wildcards.dataset, wildcards.autoencoder))
        ),
        manifests=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space(wildcards.space, wildcards.dataset, wildcards.autoencoder)
        ),
        # First the head on the images: that on the reconstructions of a lossless autoencoder is the same.
        baseline=lambda wildcards: plan.trained_first(**wildcards),
    output:
        predictions="results/heads/{dataset}/{autoencoder}/{space}/{head}/predictions.parquet",
        weights="results/heads/{dataset}/{autoencoder}/{space}/{head}/heads.safetensors",
        curves="results/heads/{dataset}/{autoencoder}/{space}/{head}/curves.csv",
        made_from="results/heads/{dataset}/{autoencoder}/{space}/{head}/made_from.json",
    log:
        "logs/train/{dataset}/{autoencoder}/{space}/{head}.log",
    benchmark:
        "logs/train/{dataset}/{autoencoder}/{space}/{head}.benchmark.tsv"
    wildcard_constraints:
        space="latent|reconstruction",
    conda:
        "../envs/pipeline.yaml"
    params:
        heads=lambda wildcards: f"results/heads/{wildcards.dataset}",
        spec=lambda wildcards: plan.spec("heads", wildcards.head),
        store=store("layout"),
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        task=lambda wildcards: study.datasets[wildcards.dataset].task,
        size=lambda wildcards: study.datasets[wildcards.dataset].pixels.size,
        seeds=study.entries.seeds,
        folds=lambda wildcards: plan.fold(wildcards.dataset, wildcards.autoencoder),
    shell:
        "python -m pipeline.train --spec {params.spec:q} --index {input.index:q} --store {params.store:q}"
        " --manifests {input.manifests:q} --classes {params.classes:q} --task {params.task}"
        " --image-size {params.size} --seeds {params.seeds} --folds {params.folds} --predictions {output.predictions:q}"
        " --weights {output.weights:q} --curves {output.curves:q} --heads {params.heads:q}"
        " --made-from {output.made_from:q} 2> {log:q}"
