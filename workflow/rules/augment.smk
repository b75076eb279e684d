"""Images to their views: augmented once, before they are encoded, so that every space sees the same."""


rule lay_out_view:
    """Write the metadata of a view's store: that of the images."""
    input:
        code=plan.code("excerpt"),
        layout=lambda wildcards: f"results/images/{plan.plain(wildcards.view)}.zarr/zarr.json",
    output:
        "results/images/{view}.zarr/zarr.json",
    log:
        "logs/augment/{view}/layout.log",
    wildcard_constraints:
        view=plan.all_views(),
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.excerpt --file {input.layout:q} --output {output:q} 2> {log:q}"


rule augment:
    """Fill one shard of one view of a data set's images."""
    input:
        code=plan.code("augment"),
        images=lambda wildcards: f"results/images/{plan.plain(wildcards.view)}.zarr/zarr.json",
        image_shard=lambda wildcards: ancient(
            f"results/images/{plan.plain(wildcards.view)}.zarr/c/{wildcards.shard}/0/0/0"
        ),
        image_manifest=lambda wildcards: f"results/images/{plan.plain(wildcards.view)}/{wildcards.shard}.json",
        layout="results/images/{view}.zarr/zarr.json",
    output:
        shard="results/images/{view}.zarr/c/{shard}/0/0/0",
        manifest="results/images/{view}/{shard}.json",
    log:
        "logs/augment/{view}/{shard}.log",
    benchmark:
        "logs/augment/{view}/{shard}.benchmark.tsv"
    wildcard_constraints:
        view=plan.all_views(),
    group:
        bundle(lambda wildcards: plan.with_images(wildcards.view, wildcards.shard))
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("augment", accelerators),
        runtime=plan.runtime("augment", accelerators),
    params:
        spec=study.entries.augmentation.drawing(),
        number=lambda wildcards: plan.view_number(wildcards.view),
        images=store("images"),
        store=store("layout"),
    shell:
        "python -m pipeline.augment --spec {params.spec:q} --view {params.number} --images {params.images:q}"
        " --image-manifest {input.image_manifest:q} --store {params.store:q} --shard {wildcards.shard}"
        " --manifest {output.manifest:q} 2> {log:q}"
