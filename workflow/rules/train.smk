"""One head in one space, over every fold and seed."""


rule train:
    """Train one head in the latent or the reconstruction space of one autoencoder."""
    input:
        unpack(lambda wildcards: plan.given(**wildcards)),
        code=lambda wildcards: plan.head_code(wildcards.dataset, wildcards.autoencoder, wildcards.head),
        index="results/index/{dataset}.parquet",
        layout=lambda wildcards: f"{plan.space(wildcards.space, wildcards.dataset, wildcards.autoencoder)}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            plan.shards(wildcards.dataset, plan.space(wildcards.space, wildcards.dataset, wildcards.autoencoder))
        ),
        manifests=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space(wildcards.space, wildcards.dataset, wildcards.autoencoder)
        ),
        view_layouts=lambda wildcards: plan.viewed(**wildcards).layouts,
        view_shards=lambda wildcards: ancient(plan.viewed(**wildcards).shards),
        view_manifests=lambda wildcards: plan.viewed(**wildcards).manifests,
        # First the head on the images: that on the reconstructions of a lossless autoencoder is the same.
        baseline=lambda wildcards: plan.trained_first(**wildcards),
    output:
        predictions="results/heads/{dataset}/{autoencoder}/{space}/{head}/predictions.parquet",
        profile="results/heads/{dataset}/{autoencoder}/{space}/{head}/profile.parquet",
        training="results/heads/{dataset}/{autoencoder}/{space}/{head}/training.parquet",
        weights="results/heads/{dataset}/{autoencoder}/{space}/{head}/heads.safetensors",
        curves="results/heads/{dataset}/{autoencoder}/{space}/{head}/curves.csv",
        made_from="results/heads/{dataset}/{autoencoder}/{space}/{head}/made_from.json",
    log:
        "logs/train/{dataset}/{autoencoder}/{space}/{head}.log",
    benchmark:
        "logs/train/{dataset}/{autoencoder}/{space}/{head}.benchmark.tsv"
    wildcard_constraints:
        space="latent|reconstruction",
    group:
        bundle(lambda wildcards: plan.with_head(wildcards.dataset, wildcards.autoencoder, wildcards.head))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("train", accelerators)
    resources:
        mem_mb=plan.memory("train", accelerators),
        runtime=plan.runtime("train", accelerators),
        gpu=plan.gpu("train", accelerators),
    params:
        heads=lambda wildcards: f"results/heads/{wildcards.dataset}",
        # What an ended job has finished: Snakemake deletes that job's outputs, and knows nothing of this folder.
        unfinished=lambda wildcards: "results/heads/{dataset}/{autoencoder}/{space}/.{head}".format(**wildcards),
        spec=lambda wildcards: plan.head_settings(wildcards.head),
        store=store("layout"),
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        task=lambda wildcards: study.datasets[wildcards.dataset].task,
        size=lambda wildcards: study.datasets[wildcards.dataset].pixels.size,
        pixels=lambda wildcards: "--pixels" if plan.pixels(wildcards.space, wildcards.autoencoder) else "",
        seeds=study.entries.seeds,
        folds=lambda wildcards: optional("folds", plan.fold(wildcards.dataset, wildcards.autoencoder)),
        views=lambda wildcards: optional("views", plan.viewed(**wildcards).stores),
        view_manifests=lambda wildcards: optional("view-manifests", plan.viewed(**wildcards).manifests),
        teacher=lambda wildcards: optional("teacher", plan.given(**wildcards)["teacher"]),
        initial=lambda wildcards: optional("initial", plan.given(**wildcards)["initial"]),
        decoder=lambda wildcards: optional("decoder", plan.decoder(**wildcards)),
        decoder_files=lambda wildcards: optional("decoder-files", plan.given(**wildcards)["decoder"]),
    # exec: so that a signal to the job reaches the program.
    shell:
        "exec python -m pipeline.train --spec {params.spec:q} --index {input.index:q} --store {params.store:q}"
        " --manifests {input.manifests:q} --classes {params.classes:q} --task {params.task}"
        " --image-size {params.size} {params.pixels} --seeds {params.seeds}"
        " {params.folds} {params.views} {params.view_manifests} {params.teacher} {params.initial} {params.decoder} {params.decoder_files}"
        " --predictions {output.predictions:q}"
        " --profile {output.profile:q} --training {output.training:q} --weights {output.weights:q}"
        " --curves {output.curves:q} --heads {params.heads:q} --made-from {output.made_from:q}"
        " --unfinished {params.unfinished:q} 2> {log:q}"
