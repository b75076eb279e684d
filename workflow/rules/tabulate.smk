"""Scores and fidelity to the gap table, and the page that shows it."""

from pipeline.written import shown


rule tabulate:
    """Tabulate one data set: a row for each autoencoder, head and metric, and fidelity for each class."""
    input:
        code=plan.code("tabulate"),
        images="results/images/{dataset}.zarr/zarr.json",
        index="results/index/{dataset}.parquet",
        stores=lambda wildcards: plan.stores(wildcards.dataset),
        figures=lambda wildcards: plan.tabulated(wildcards.dataset),
    output:
        table="results/gap_table/{dataset}.csv",
        fidelity="results/fidelity/{dataset}.csv",
    log:
        "logs/tabulate/{dataset}.log",
    benchmark:
        "logs/tabulate/{dataset}.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("tabulate", accelerators),
        runtime=plan.runtime("tabulate", accelerators),
    params:
        images=store("images"),
        plan=lambda wildcards: plan.table(wildcards.dataset),
        baseline=study.baseline(),
    shell:
        "python -m pipeline.tabulate --dataset {wildcards.dataset:q} --images {params.images:q}"
        " --index {input.index:q} --baseline {params.baseline:q} --plan {params.plan:q}"
        " --table {output.table:q} --fidelity {output.fidelity:q} 2> {log:q}"


rule tabulate_study:
    """Put the data sets' tables below one another."""
    input:
        code=plan.code("collect"),
        tables=expand("results/gap_table/{dataset}.csv", dataset=study.compared),
        fidelity=expand("results/fidelity/{dataset}.csv", dataset=study.compared),
    output:
        table=report("results/gap_table.csv", category="Tables", caption="../report/table.rst"),
        fidelity=report("results/fidelity.csv", category="Tables", caption="../report/fidelity.rst"),
    log:
        "logs/tabulate/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "{{ python -m pipeline.collect --tables {input.tables:q} --table {output.table:q}"
        " && python -m pipeline.collect --tables {input.fidelity:q} --table {output.fidelity:q}; }} 2> {log:q}"


rule tabulate_cells:
    """Put one kind of the tables of all data sets, autoencoders and heads below one another."""
    input:
        code=plan.code("collect"),
        tables=lambda wildcards: plan.evaluated(wildcards.table),
    output:
        table=report("results/{table}.csv", category="Tables", caption="../report/cells.rst"),
    log:
        "logs/tabulate/cells/{table}.log",
    wildcard_constraints:
        table="groups|reliability|profile|complexity",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    params:
        scores=lambda wildcards, output: os.path.join(os.path.dirname(output.table), "scores"),
        cells=plan.cells(),
    shell:
        "python -m pipeline.collect --cells {params.cells:q} --scores {params.scores:q} --table {output.table:q} 2> {log:q}"


rule illustrate:
    """Draw the page that shows the tables, with sample images of every data set, and the figures to copy."""
    input:
        code=plan.code("illustrate"),
        table="results/gap_table.csv",
        fidelity="results/fidelity.csv",
        claims="results/claims.csv",
        further=expand(
            "results/{table}.csv",
            table=[
                *("profile", "complexity", "groups", "reliability"),
                *("initialisation", "correlations", "covariates"),
                *plan.shown(),
            ],
        ),
        exhibits=plan.exhibited(),
        pinned="resources/weights.yaml",
        indices=expand("results/index/{dataset}.{kind}", dataset=study.compared, kind=["parquet", "json"]),
        stores=[path for dataset in study.compared for path in plan.stores(dataset)],
    output:
        page=report("results/report.html", category="Report", caption="../report/report.rst"),
        figure=report("results/gap_table.png", category="Figures", caption="../report/gap.rst"),
        depth=report("results/depth.png", category="Figures", caption="../report/depth.rst"),
    log:
        "logs/illustrate.log",
    benchmark:
        "logs/illustrate.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("illustrate", accelerators),
        runtime=plan.runtime("illustrate", accelerators),
    params:
        title=study.entries.title,
        config=json.dumps(shown(config)),
        results=lambda wildcards, input: os.path.dirname(input.table),
        more=optional("more", plan.shown()),
    shell:
        "python -m pipeline.illustrate --table {input.table:q} --fidelity {input.fidelity:q} --claims {input.claims:q}"
        " --results {params.results:q} --title {params.title:q} --config {params.config:q} {params.more}"
        " --page {output.page:q} --figure {output.figure:q} --depth {output.depth:q} 2> {log:q}"
