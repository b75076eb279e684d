"""Replicates of every cell to what the study says as a whole."""


rule conclude:
    """Draw data sets, folds, seeds and patients for the overall claims; tell pretraining and space apart."""
    input:
        code=plan.code("conclude"),
        resampled=plan.concluded(),
    output:
        claims=report("results/claims.csv", category="Tables", caption="../report/claims.rst"),
        initialisation=report("results/initialisation.csv", category="Tables", caption="../report/initialisation.rst"),
    log:
        "logs/conclude.log",
    benchmark:
        "logs/conclude.benchmark.tsv"
    conda:
        "../envs/pipeline.yaml"
    resources:
        mem_mb=plan.memory("conclude", accelerators),
        runtime=plan.runtime("conclude", accelerators),
    params:
        scores=lambda wildcards, output: os.path.join(os.path.dirname(output.claims), "scores"),
        plan=plan.claims(),
        roles=plan.roles(),
    shell:
        "python -m pipeline.conclude --plan {params.plan:q} --scores {params.scores:q} --claims {output.claims:q}"
        " --roles {params.roles:q} --initialisation {output.initialisation:q} 2> {log:q}"


rule correlate:
    """Correlate what is measured of the spaces with the learnability gap."""
    input:
        code=plan.code("correlate"),
        table="results/gap_table.csv",
        covariates="results/covariates.csv",
    output:
        correlations=report("results/correlations.csv", category="Tables", caption="../report/correlations.rst"),
    log:
        "logs/conclude/correlate.log",
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    shell:
        "python -m pipeline.correlate --table {input.table:q} --covariates {input.covariates:q}"
        " --correlations {output.correlations:q} 2> {log:q}"
