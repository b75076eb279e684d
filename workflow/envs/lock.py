"""Pin the environment: write the lock files and the conda environment from `pyproject.toml`.

`requirements.lock` holds everything but torch, `requirements-cuda.lock` holds torch as the package index has it with
the accelerator libraries that it needs, `requirements-cpu.lock` holds torch's processor-only build, which needs none of
those several gigabytes. What is pinned already stays, unless `--upgrade` asks for newer versions. Run as `make lock`.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ACCELERATED = re.compile(r"^(nvidia-|cuda-|triton==|torch==)")

# Processor-only builds carry a local version tag, which a resolver over the package index alone does not see.
PROCESSOR_ONLY = {
    "torch==2.13.0+cpu": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],
}


LOCKS = ("requirements.lock", "requirements-cuda.lock")


def resolve(upgrade: bool) -> list[str]:
    """Return one block of text per pinned package, markers and hashes included, in the resolver's order."""
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    command += ["--no-emit-index-url", "--no-annotate", "--extra", "dev", "--quiet", str(ROOT / "pyproject.toml")]
    with tempfile.TemporaryDirectory() as folder:
        # The resolver prefers the versions that stand in the file that it writes.
        lock = Path(folder, "requirements.txt")
        if not upgrade:
            lock.write_text("".join((ROOT / name).read_text() for name in LOCKS))
        subprocess.run([*command, "--output-file", str(lock)], check=True, stdout=subprocess.DEVNULL)
        return re.split(r"\n(?=\S)", lock.read_text().strip())


def pinned(requirement: str, digests: list[str]) -> str:
    """Return one block of a lock file."""
    return requirement + "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests)


def one_line(block: str) -> str:
    """Return a block of a lock file as one line."""
    return " ".join(block.replace("\\\n", " ").split())


def conda(blocks: list[str]) -> str:
    """Return the conda environment. It holds the pins themselves.

    Snakemake makes an environment anew when its file has changed, and knows nothing of files that it names; and it
    takes a copy of it in another folder, from which a relative path leads elsewhere.
    """
    lines = ["--require-hashes", *map(one_line, blocks)]
    return (
        "# The same pins as the lock files, for `--sdm conda`. Written by `make lock`.\n"
        "channels:\n  - conda-forge\ndependencies:\n  - python=3.12\n  - pip\n  - pip:\n"
        + "".join(f"      - {json.dumps(line)}\n" for line in lines)
    )


def main() -> None:
    """Write the lock files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    blocks = resolve(parser.parse_args().upgrade)
    accelerated = [block for block in blocks if ACCELERATED.match(block)]
    general = [block for block in blocks if not ACCELERATED.match(block)]
    processor = [pinned(requirement, digests) for requirement, digests in PROCESSOR_ONLY.items()]
    for name, lines in {"": general, "-cuda": accelerated, "-cpu": processor}.items():
        (ROOT / f"requirements{name}.lock").write_text("\n".join(lines) + "\n")
    (HERE / "pipeline.yaml").write_text(conda([*general, *accelerated]))
    sys.stderr.write(f"{len(general)} packages pinned, and {len(accelerated)} for torch and accelerators\n")


if __name__ == "__main__":
    main()
