"""Generated benchmarks, as files like those that a hospital would hand over."""


rule synthesize:
    """Generate one benchmark's image files, labels and inventory."""
    input:
        code=lambda wildcards: plan.code("synthesize", "benchmarks", wildcards.benchmark),
    output:
        labels="results/benchmarks/{benchmark}.labels.csv",
        inventory="results/benchmarks/{benchmark}.inventory.csv",
    log:
        "logs/synthesize/{benchmark}.log",
    benchmark:
        "logs/synthesize/{benchmark}.benchmark.tsv"
    # Before everything else, so that input that cannot be trusted stops a study before it has cost anything.
    priority: 100
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("synthesize", accelerators),
        runtime=plan.runtime("synthesize", accelerators),
    params:
        spec=lambda wildcards: plan.spec("benchmarks", wildcards.benchmark),
        folder=lambda wildcards, output: output.labels.removesuffix(".labels.csv"),
    shell:
        "python -m pipeline.synthesize --spec {params.spec:q} --folder {params.folder:q}"
        " --labels {output.labels:q} --inventory {output.inventory:q} 2> {log:q}"
