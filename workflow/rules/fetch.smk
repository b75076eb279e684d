"""Published weights, at the revision and with the hashes that `resources/weights.yaml` pins."""

import re


# No input: what was fetched is judged by its hash alone, and changed code is no reason to fetch it again.
rule fetch:
    """Fetch one weight file, compare its hash, and convert it to safetensors if it is a pickle."""
    output:
        "resources/weights/{weights}/{file}",
    log:
        "logs/fetch/{weights}/{file}.log",
    wildcard_constraints:
        weights="|".join(map(re.escape, published)) or "(?!)",
        file="|".join(sorted({re.escape(file) for files in published.values() for file in files})) or "(?!)",
    # The program tries again by itself, and knows when that is of no use.
    retries: 0
    localrule: True
    conda:
        "../envs/pipeline.yaml"
    params:
        source=lambda wildcards: published[wildcards.weights][wildcards.file].written(),
    shell:
        "HF_HUB_OFFLINE=0 python -m pipeline.fetch --source {params.source:q} --output {output:q} 2> {log:q}"
