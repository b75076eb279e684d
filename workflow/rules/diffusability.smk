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
    group:
        bundle(lambda wildcards: plan.with_small_heads(wildcards.dataset, wildcards.autoencoder))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("diffusability", accelerators)
    resources:
        mem_mb=plan.memory("diffusability", accelerators),
        runtime=plan.runtime("diffusability", accelerators),
        gpu=plan.gpu("diffusability", accelerators),
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


rule diffusability_geometry:
    """Measure how the encoder of one autoencoder bends and stretches the data."""
    input:
        code=lambda wildcards: plan.codec("encoder_geometry", **wildcards),
        weights=lambda wildcards: plan.weights(**wildcards),
        index="results/index/{dataset}.parquet",
        image_layout="results/images/{dataset}.zarr/zarr.json",
        image_shards=lambda wildcards: ancient(plan.shards(wildcards.dataset, f"results/images/{wildcards.dataset}")),
        image_manifests=lambda wildcards: plan.beside(wildcards.dataset, f"results/images/{wildcards.dataset}"),
        layout="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            plan.shards(wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder))
        ),
        manifests=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder)
        ),
    output:
        "results/geometry/{dataset}/{autoencoder}.csv",
    log:
        "logs/geometry/{dataset}/{autoencoder}.log",
    benchmark:
        "logs/geometry/{dataset}/{autoencoder}.benchmark.tsv"
    group:
        bundle(lambda wildcards: plan.with_small_heads(wildcards.dataset, wildcards.autoencoder))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("diffusability_geometry", accelerators)
    resources:
        mem_mb=plan.memory("diffusability_geometry", accelerators),
        runtime=plan.runtime("diffusability_geometry", accelerators),
        gpu=plan.gpu("diffusability_geometry", accelerators),
    params:
        entry=lambda wildcards: plan.member(wildcards.dataset, wildcards.autoencoder).entry,
        spec=lambda wildcards: plan.loaded(**wildcards),
        settings=plan.geometry_how(),
        images=store("image_layout"),
        store=store("layout"),
        fold=lambda wildcards: plan.denoised_fold(wildcards.dataset, wildcards.autoencoder),
    shell:
        "python -m pipeline.encoder_geometry --dataset {wildcards.dataset:q} --autoencoder {params.entry:q}"
        " --spec {params.spec:q} --settings {params.settings:q} --index {input.index:q} --images {params.images:q}"
        " --image-manifests {input.image_manifests:q} --store {params.store:q} --manifests {input.manifests:q}"
        " --fold {params.fold} --geometry {output:q} 2> {log:q}"


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


rule diffusability_encoders:
    """Put the geometry of all encoders below one another."""
    input:
        code=plan.code("collect"),
        tables=plan.geometries(),
    output:
        "results/encoder_geometry.csv",
    log:
        "logs/geometry/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.collect --tables {input.tables:q} --table {output:q} 2> {log:q}"


rule diffusability_summary:
    """Compare every space with pixels, one line a space."""
    input:
        code=plan.code("penalties"),
        diffusability="results/diffusability.csv",
        geometry="results/encoder_geometry.csv",
    output:
        "results/diffusability_summary.csv",
    log:
        "logs/diffusability/summary.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    params:
        baseline=study.baseline(),
    shell:
        "python -m pipeline.penalties --diffusability {input.diffusability:q} --geometry {input.geometry:q}"
        " --baseline {params.baseline:q} --summary {output:q} 2> {log:q}"


rule diffusability_classes:
    """Measure what noise takes of the information about the class in the latents of one autoencoder."""
    input:
        code=lambda wildcards: plan.informed_code(wildcards.head),
        weights="results/heads/{dataset}/{autoencoder}/latent/{head}/heads.safetensors",
        index="results/index/{dataset}.parquet",
        layout="results/latents/{dataset}/{autoencoder}.zarr/zarr.json",
        shards=lambda wildcards: ancient(
            plan.shards(wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder))
        ),
        manifests=lambda wildcards: plan.beside(
            wildcards.dataset, plan.space("latent", wildcards.dataset, wildcards.autoencoder)
        ),
    output:
        "results/class_information/{dataset}/{autoencoder}/{head}.csv",
    log:
        "logs/class_information/{dataset}/{autoencoder}/{head}.log",
    benchmark:
        "logs/class_information/{dataset}/{autoencoder}/{head}.benchmark.tsv"
    group:
        bundle(lambda wildcards: plan.with_small_heads(wildcards.dataset, wildcards.autoencoder))
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("diffusability_classes", accelerators)
    resources:
        mem_mb=plan.memory("diffusability_classes", accelerators),
        runtime=plan.runtime("diffusability_classes", accelerators),
        gpu=plan.gpu("diffusability_classes", accelerators),
    params:
        entry=lambda wildcards: plan.member(wildcards.dataset, wildcards.autoencoder).entry,
        spec=lambda wildcards: plan.head_settings(wildcards.head),
        store=store("layout"),
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        size=lambda wildcards: study.datasets[wildcards.dataset].pixels.size,
        pixels=lambda wildcards: "--pixels" if plan.pixels("latent", wildcards.autoencoder) else "",
        fold=lambda wildcards: plan.denoised_fold(wildcards.dataset, wildcards.autoencoder),
        seed=study.entries.seeds[0],
    shell:
        "python -m pipeline.class_information --dataset {wildcards.dataset:q} --autoencoder {params.entry:q}"
        " --head {wildcards.head:q} --spec {params.spec:q} --index {input.index:q} --store {params.store:q}"
        " --manifests {input.manifests:q} --classes {params.classes:q} --image-size {params.size} {params.pixels}"
        " --fold {params.fold} --seed {params.seed} --weights {input.weights:q} --information {output:q} 2> {log:q}"


rule diffusability_information:
    """Put what noise takes of the class in all spaces below one another."""
    input:
        code=plan.code("collect"),
        tables=plan.class_informations(),
    output:
        "results/class_information.csv",
    log:
        "logs/class_information/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.collect --tables {input.tables:q} --table {output:q} 2> {log:q}"
