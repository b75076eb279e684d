"""Replicates of every cell to what the study says as a whole."""


rule conclude:
    """Draw data sets, folds, seeds and patients for the overall claims, and adjust p values within data sets."""
    input:
        code=plan.code("conclude"),
        resampled=plan.concluded(),
    output:
        claims="results/claims.csv",
    log:
        "logs/conclude.log",
    conda:
        "../envs/pipeline.yaml"
    params:
        scores=lambda wildcards, output: os.path.join(os.path.dirname(output.claims), "scores"),
        plan=plan.claims(),
    shell:
        "python -m pipeline.conclude --plan {params.plan:q} --scores {params.scores:q} --claims {output.claims:q} 2> {log:q}"
