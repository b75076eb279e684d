"""Which samples can be used, in which fold, and which files were refused."""


rule index:
    """Drop what could not be decoded, keep the same pixels together, and assign folds."""
    input:
        code=lambda wildcards: plan.code("index", "datasets", wildcards.dataset),
        inspected="results/inspected/{dataset}.parquet",
        remarks="results/inspected/{dataset}.remarks.json",
        mapping=ancient("private/{dataset}.mapping.csv"),
        pixels=lambda wildcards: plan.beside(wildcards.dataset, f"results/images/{wildcards.dataset}", "parquet"),
    output:
        index="results/index/{dataset}.parquet",
        summary="results/index/{dataset}.json",
        rejected="results/index/{dataset}.rejected.csv",
        rejected_paths="private/{dataset}.rejected.csv",
    log:
        "logs/index/{dataset}.log",
    benchmark:
        "logs/index/{dataset}.benchmark.tsv"
    # Before everything else, so that input that cannot be trusted stops a study before it has cost anything.
    priority: 100
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("index", accelerators),
        runtime=plan.runtime("index", accelerators),
    params:
        spec=lambda wildcards: plan.spec("datasets", wildcards.dataset),
    shell:
        "python -m pipeline.index --spec {params.spec:q} --inspected {input.inspected:q} --remarks {input.remarks:q}"
        " --pixels {input.pixels:q} --mapping {input.mapping:q} --index {output.index:q} --summary {output.summary:q}"
        " --rejected {output.rejected:q} --rejected-paths {output.rejected_paths:q} 2> {log:q}"
        " && python -m pipeline.summary --summary {output.summary:q} 2>> {log:q}"
