"""The autoencoders that this project ships, trained again: only on demand."""


rule pretrain:
    """Train one of the shipped autoencoders on generated natural-image statistics, from its recipe."""
    input:
        code=lambda wildcards: plan.pretrained(wildcards.weights),
        recipe="resources/weights/{weights}/recipe.json",
    output:
        config="results/weights/pretrained/{weights}/config.json",
        weights="results/weights/pretrained/{weights}/diffusion_pytorch_model.safetensors",
        curve="results/weights/pretrained/{weights}/curve.csv",
    log:
        "logs/pretrain/{weights}.log",
    benchmark:
        "logs/pretrain/{weights}.benchmark.tsv"
    wildcard_constraints:
        weights="[a-z0-9-]+",
    conda:
        "../envs/pipeline.yaml"
    threads: plan.threads("pretrain", accelerators)
    resources:
        mem_mb=plan.memory("pretrain", accelerators),
        runtime=plan.runtime("pretrain", accelerators),
        gpu=plan.gpu("pretrain", accelerators),
    params:
        folder=store("weights"),
    shell:
        "python -m pipeline.pretrain --recipe {input.recipe:q} --folder {params.folder:q} 2> {log:q}"
