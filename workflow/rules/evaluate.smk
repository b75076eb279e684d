"""Three predictions to the information loss and the learnability gap."""


rule evaluate:
    """Compare one head in image, reconstruction and latent space, with paired intervals."""
    input:
        code=plan.code("evaluate"),
        index="results/index/{dataset}.parquet",
        image=f"results/heads/{{dataset}}/{study.baseline()}/latent/{{head}}/predictions.parquet",
        image_profile=f"results/heads/{{dataset}}/{study.baseline()}/latent/{{head}}/profile.parquet",
        reconstruction=lambda wildcards: plan.predictions("reconstruction", **wildcards),
        reconstruction_profile=lambda wildcards: plan.profiles("reconstruction", **wildcards),
        latent=lambda wildcards: plan.predictions("latent", **wildcards),
        latent_profile=lambda wildcards: plan.profiles("latent", **wildcards),
    output:
        gap="results/scores/{dataset}/{autoencoder}/{head}/gap.csv",
        scores="results/scores/{dataset}/{autoencoder}/{head}/scores.csv",
        groups="results/scores/{dataset}/{autoencoder}/{head}/groups.csv",
        reliability="results/scores/{dataset}/{autoencoder}/{head}/reliability.csv",
        profile="results/scores/{dataset}/{autoencoder}/{head}/profile.csv",
        complexity="results/scores/{dataset}/{autoencoder}/{head}/complexity.csv",
        resampled="results/scores/{dataset}/{autoencoder}/{head}/resampled.parquet",
    log:
        "logs/evaluate/{dataset}/{autoencoder}/{head}.log",
    benchmark:
        "logs/evaluate/{dataset}/{autoencoder}/{head}.benchmark.tsv"
    group:
        bundle(lambda wildcards: plan.with_head(wildcards.dataset, wildcards.autoencoder, wildcards.head))
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("evaluate", accelerators),
        runtime=plan.runtime("evaluate", accelerators),
    params:
        cell=lambda wildcards: json.dumps(dict(wildcards.items())),
        classes=lambda wildcards: json.dumps(study.datasets[wildcards.dataset].classes),
        task=lambda wildcards: study.datasets[wildcards.dataset].task,
        unit=lambda wildcards: study.datasets[wildcards.dataset].unit,
        thresholds=study.entries.groups.written(),
        fraction=lambda wildcards: study.heads[wildcards.head].label_fraction,
        seed=lambda wildcards: study.heads[wildcards.head].label_seed,
        replicates=study.entries.replicates,
    shell:
        "python -m pipeline.evaluate --index {input.index:q} --classes {params.classes:q} --task {params.task}"
        " --unit {params.unit} --cell {params.cell:q} --thresholds {params.thresholds:q}"
        " --label-fraction {params.fraction} --label-seed {params.seed} --replicates {params.replicates}"
        " --image {input.image:q} --image-profile {input.image_profile:q}"
        " --reconstruction {input.reconstruction:q} --reconstruction-profile {input.reconstruction_profile:q}"
        " --latent {input.latent:q} --latent-profile {input.latent_profile:q}"
        " --gap {output.gap:q} --scores {output.scores:q} --groups {output.groups:q}"
        " --reliability {output.reliability:q} --profile {output.profile:q} --complexity {output.complexity:q}"
        " --resampled {output.resampled:q} 2> {log:q}"
