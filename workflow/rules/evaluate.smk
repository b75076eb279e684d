"""Three predictions to the information loss and the learnability gap."""


rule evaluate:
    """Compare one head in image, reconstruction and latent space, with paired intervals."""
    input:
        code=plan.code("evaluate"),
        index="results/index/{dataset}.parquet",
        image=f"results/heads/{{dataset}}/{study.baseline()}/latent/{{head}}/predictions.parquet",
        reconstruction=lambda wildcards: plan.predictions("reconstruction", **wildcards),
        latent=lambda wildcards: plan.predictions("latent", **wildcards),
    output:
        gap="results/scores/{dataset}/{autoencoder}/{head}/gap.csv",
        scores="results/scores/{dataset}/{autoencoder}/{head}/scores.csv",
        resampled="results/scores/{dataset}/{autoencoder}/{head}/resampled.parquet",
    log:
        "logs/evaluate/{dataset}/{autoencoder}/{head}.log",
    conda:
        "../envs/pipeline.yaml"
    params:
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        task=lambda wildcards: study.datasets[wildcards.dataset].task,
        unit=lambda wildcards: study.datasets[wildcards.dataset].unit,
        replicates=study.entries.replicates,
    shell:
        "python -m pipeline.evaluate --index {input.index:q} --classes {params.classes:q} --task {params.task}"
        " --unit {params.unit} --image {input.image:q} --reconstruction {input.reconstruction:q}"
        " --latent {input.latent:q} --replicates {params.replicates} --gap {output.gap:q} --scores {output.scores:q}"
        " --resampled {output.resampled:q} 2> {log:q}"
