"""The autoencoders that this project ships, trained again: only on demand."""


rule fit:
    """Train one of the shipped autoencoders on generated natural-image statistics, from its recipe."""
    input:
        code=lambda wildcards: plan.fitted(wildcards.weights),
        recipe="resources/weights/{weights}/recipe.json",
    output:
        config="results/weights/fitted/{weights}/config.json",
        weights="results/weights/fitted/{weights}/diffusion_pytorch_model.safetensors",
    log:
        "logs/fit/{weights}.log",
    wildcard_constraints:
        weights="[a-z0-9-]+",
    conda:
        "../envs/pipeline.yaml"
    params:
        folder=store("weights"),
    shell:
        "python -m pipeline.fit --recipe {input.recipe:q} --folder {params.folder:q} 2> {log:q}"
