"""Scores and fidelity to the gap table, and the page that shows it."""


def heads_of(dataset):
    """Return the heads that are trained on a data set: none where it has no labels."""
    return list(study.heads) if dataset in study.labelled() else []


def gaps_of(dataset, autoencoder):
    """Return one score file for each head."""
    return {head: f"results/scores/{dataset}/{autoencoder}/{head}/gap.csv" for head in heads_of(dataset)}


def stores_of(dataset, kinds=("latents", "reconstructions")):
    """Return the metadata of a data set's stores and of their shards: all that a reader waits for."""
    folders = [f"results/images/{dataset}"]
    folders += [f"results/{kind}/{dataset}/{autoencoder}" for kind in kinds for autoencoder in study.autoencoders]
    layouts = [f"{folder}.zarr/zarr.json" for folder in folders]
    return layouts + [
        path for folder in folders for path in shards("{folder}/{shard}.json", folder=folder, dataset=dataset)
    ]


def plan_of(dataset):
    """Return what the table takes for each autoencoder, as JSON."""
    entries = []
    for autoencoder, spec in study.autoencoders.items():
        names = {"dataset": dataset, "autoencoder": autoencoder}
        entries.append(
            {
                "autoencoder": autoencoder,
                "family": spec.family,
                "latents": f"results/latents/{dataset}/{autoencoder}.zarr",
                "quality": shards("results/reconstructions/{dataset}/{autoencoder}/{shard}.parquet", **names),
                "manifests": shards("results/latents/{dataset}/{autoencoder}/{shard}.json", **names),
                "gaps": gaps_of(dataset, autoencoder),
            }
        )
    return entries


rule tabulate:
    """Tabulate one data set: one row for each autoencoder, head and metric."""
    input:
        code=code("pipeline.tabulate"),
        stores=lambda wildcards: stores_of(wildcards.dataset),
        quality=lambda wildcards: [path for entry in plan_of(wildcards.dataset) for path in entry["quality"]],
        gaps=lambda wildcards: [path for entry in plan_of(wildcards.dataset) for path in entry["gaps"].values()],
    output:
        "results/gap_table/{dataset}.csv",
    log:
        "logs/tabulate/{dataset}.log",
    conda:
        "../envs/pipeline.yaml"
    params:
        images="results/images/{dataset}.zarr",
        plan=lambda wildcards: json.dumps(plan_of(wildcards.dataset)),
        protocol=study.entries.protocol,
    shell:
        "python -m pipeline.tabulate --dataset {wildcards.dataset:q} --protocol {params.protocol:q}"
        " --images {params.images:q} --plan {params.plan:q} --table {output:q} 2> {log:q}"


rule tabulate_study:
    """Put the data sets' tables below one another."""
    input:
        code=code("pipeline.collect"),
        tables=expand("results/gap_table/{dataset}.csv", dataset=study.datasets),
    output:
        "results/gap_table.csv",
    log:
        "logs/tabulate/study.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.collect --tables {input.tables:q} --table {output:q} 2> {log:q}"


rule illustrate:
    """Draw the page that shows the table, with sample images of every data set."""
    input:
        code=code("pipeline.illustrate"),
        table="results/gap_table.csv",
        stores=[path for dataset in study.datasets for path in stores_of(dataset)],
    output:
        page="results/gap_table.html",
        figure="results/gap_table.png",
    log:
        "logs/illustrate.log",
    conda:
        "../envs/pipeline.yaml"
    params:
        title=study.entries.title,
        results="results",
    shell:
        "python -m pipeline.illustrate --table {input.table:q} --results {params.results:q} --title {params.title:q}"
        " --page {output.page:q} --figure {output.figure:q} 2> {log:q}"
