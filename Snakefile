"""Which autoencoder's latent space can a classifier learn from, on these images?"""


include: "workflow/rules/study.smk"
include: "workflow/rules/synthesize.smk"
include: "workflow/rules/inspect.smk"
include: "workflow/rules/normalize.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/augment.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/standardize.smk"
include: "workflow/rules/decode.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/describe.smk"
include: "workflow/rules/denoise.smk"
include: "workflow/rules/diffusability.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/cost.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/conclude.smk"
include: "workflow/rules/tabulate.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/repair.smk"


rule all:
    """Make the tables and the page of the study."""
    default_target: True
    input:
        "results/gap_table.csv",
        "results/report.html",
        "results/fidelity.csv",
        "results/claims.csv",
        expand(
            "results/{table}.csv",
            table=[
                *("profile", "complexity", "groups", "reliability"),
                *("initialisation", "covariates", "correlations"),
            ],
        ),
        "results/depth.png",
        plan.diffusability_tables(),
    localrule: True
