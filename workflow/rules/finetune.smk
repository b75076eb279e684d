"""Autoencoders of the study, trained further on a data set's training folds."""


rule finetune:
    """Train an autoencoder further on one fold's training images; its test images are never read.

    A job that is ended keeps its state beside the folder, in `.<autoencoder>/`, and the next one goes on from there.
    """
    input:
        code=lambda wildcards: plan.finetuning(wildcards.dataset, wildcards.autoencoder).code,
        files=lambda wildcards: plan.finetuning(wildcards.dataset, wildcards.autoencoder).files,
        index="results/index/{dataset}.parquet",
        images="results/images/{dataset}.zarr/zarr.json",
        shards=lambda wildcards: ancient(plan.shards(wildcards.dataset, f"results/images/{wildcards.dataset}")),
        manifests=lambda wildcards: plan.beside(wildcards.dataset, f"results/images/{wildcards.dataset}"),
    output:
        config="results/weights/{dataset}/{autoencoder}/config.json",
        weights="results/weights/{dataset}/{autoencoder}/diffusion_pytorch_model.safetensors",
        curve="results/weights/{dataset}/{autoencoder}/curve.csv",
        parent="results/weights/{dataset}/{autoencoder}/parent.json",
    log:
        "logs/finetune/{dataset}/{autoencoder}.log",
    benchmark:
        "logs/finetune/{dataset}/{autoencoder}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("finetune", accelerators)
    resources:
        mem_mb=plan.memory("finetune", accelerators),
        runtime=plan.runtime("finetune", accelerators),
        gpu=plan.gpu("finetune", accelerators),
    params:
        parent_spec=lambda wildcards: plan.finetuning(wildcards.dataset, wildcards.autoencoder).parent_spec,
        spec=lambda wildcards: plan.finetuning(wildcards.dataset, wildcards.autoencoder).spec,
        fold=lambda wildcards: plan.finetuning(wildcards.dataset, wildcards.autoencoder).fold,
        images=store("images"),
        folder=store("weights"),
    # So that a signal to the job reaches the program.
    shell:
        "exec python -m pipeline.finetune --parent-spec {params.parent_spec:q} --spec {params.spec:q}"
        " --index {input.index:q} --images {params.images:q} --manifests {input.manifests:q}"
        " --fold {params.fold} --folder {params.folder:q} 2> {log:q}"
