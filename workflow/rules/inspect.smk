"""Which samples there are, of whom, with which labels, as far as tables and headers say."""


rule salt:
    """Draw the secret with which identifiers are hashed; keep it, or every identifier changes."""
    output:
        # Not deleted before the job, which a changed rule would make run: it finds the secret, and keeps it.
        update("private/salt"),
    log:
        "logs/salt.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.salt --output {output:q} 2> {log:q}"


rule inspect:
    """Read a data set's tables and the headers of its files.

    All inputs but a generated folder are ancient: once the outputs are there, the first process of a call keeps them
    up to date, and only what really changed makes a later stage run.
    """
    input:
        remade=lambda wildcards: plan.remade(wildcards.dataset),
        spec=ancient("private/{dataset}.spec.json"),
        inventory=ancient(lambda wildcards: plan.inventory(wildcards.dataset)),
        salt=ancient("private/salt"),
    output:
        samples="results/inspected/{dataset}.parquet",
        rows="results/inspected/{dataset}.rows",
        shards="results/inspected/{dataset}.shards",
        remarks="results/inspected/{dataset}.remarks.json",
        made_from="results/inspected/{dataset}.made_from.json",
        mapping="private/{dataset}.mapping.csv",
    log:
        "logs/inspect/{dataset}.log",
    benchmark:
        "logs/inspect/{dataset}.benchmark.tsv"
    # Before everything else, so that input that cannot be trusted stops a study before it has cost anything.
    priority: 100
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("inspect", accelerators)
    resources:
        mem_mb=plan.memory("inspect", accelerators),
        runtime=plan.runtime("inspect", accelerators),
    params:
        folder=lambda wildcards, output: output.samples.removesuffix(".parquet"),
        private=lambda wildcards, output: output.mapping.removesuffix(".mapping.csv"),
    shell:
        "python -m pipeline.inspect --spec {input.spec:q} --inventory {input.inventory:q} --salt {input.salt:q}"
        " --folder {params.folder:q} --private {params.private:q} --workers {threads} 2> {log:q}"


rule inspect_shard:
    """Take one shard's line: what it depends on, so that a changed file makes its own shard again and no other."""
    input:
        code=plan.code("excerpt"),
        remade=lambda wildcards: plan.remade(wildcards.dataset),
        shards=ancient("results/inspected/{dataset}.shards"),
    output:
        "results/inspected/{dataset}/{shard}.sha256",
    log:
        "logs/inspect/{dataset}/{shard}.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.excerpt --file {input.shards:q} --first-word {wildcards.shard} --output {output:q} 2> {log:q}"
