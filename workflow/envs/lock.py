"""Pin the environment: write the lock files and the conda environment from `pyproject.toml`.

`requirements.lock` holds everything but torch, `requirements-cuda.lock` holds torch as the package index has it with
the accelerator libraries that it needs, `requirements-cpu.lock` holds torch's processor-only build, which needs none of
those several gigabytes. Run as `make lock`.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ACCELERATED = re.compile(r"^(nvidia-|cuda-|triton==|torch==)")

# Processor-only builds carry a local version tag, which a resolver over the package index alone does not see.
PROCESSOR_ONLY = {
    "torch==2.13.0+cpu": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],
}


def resolve() -> list[str]:
    """Return one block of text per pinned package, markers and hashes included, in the resolver's order."""
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    command += ["--no-emit-index-url", "--no-annotate", "--extra", "dev", "--quiet", str(ROOT / "pyproject.toml")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.split(r"\n(?=\S)", text.strip())


def pinned(requirement: str, digests: list[str]) -> str:
    """Return one block of a lock file."""
    return requirement + "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests)


def main() -> None:
    """Write the lock files."""
    blocks = resolve()
    accelerated = [block for block in blocks if ACCELERATED.match(block)]
    general = [block for block in blocks if not ACCELERATED.match(block)]
    processor = [pinned(requirement, digests) for requirement, digests in PROCESSOR_ONLY.items()]
    for name, lines in {"": general, "-cuda": accelerated, "-cpu": processor}.items():
        (ROOT / f"requirements{name}.lock").write_text("\n".join(lines) + "\n")
    (HERE / "pipeline.yaml").write_text(
        "# The same pins as the lock files, for `--sdm conda`. Written by `make lock`.\n"
        "channels:\n  - conda-forge\ndependencies:\n  - python=3.12\n  - pip\n  - pip:\n"
        "      - --no-deps\n      - --require-hashes\n"
        "      - -r ../../requirements.lock\n      - -r ../../requirements-cuda.lock\n"
    )
    sys.stderr.write(f"{len(general)} packages pinned, and {len(accelerated)} for torch and accelerators\n")


if __name__ == "__main__":
    main()
