# One target does everything on a fresh machine with Python >= 3.11: `make gap-table`, `make test`.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/src

.PHONY: environment gap-table test browser verify chaos fuzz bench scale calibrate lint format lock reference docs clean-environment

gap-table: .venv/installed
	snakemake --cores $(CORES) results/gap_table.csv results/report.html

test: lint
	python -m pytest tests --numprocesses 2 --dist loadfile

# The pages of finished studies in Chromium: results/**/report.html, and those of other checkouts, PAGES=a/report.html:b/report.html.
browser: .venv/installed
	LEARNABILITY_PAGES="$(PAGES)" python -m pytest tests/test_browser.py -ra

# Read all artifacts again, name what is damaged, and let the next call make just that again.
verify: .venv/installed
	python -m pipeline.verify --repair

# Fifty killed calls, six batch jobs, full and read-only disks, a thousand random faults, and twenty times eight writers of one
# store; `make test` has a few of each.
chaos: .venv/installed
	PYTHONPATH="$(PYTHONPATH):$(CURDIR)" OMP_NUM_THREADS=1 python -m tests.chaos

# A hundred thousand damaged files; `make test` takes the first ten thousand of them.
fuzz: .venv/installed
	PYTHONPATH="$(PYTHONPATH):$(CURDIR)" python -m tests.fuzz --count 100000 --workers $(CORES)

# The ratios of docs/performance.md, side by side with what they are of; results/bench.csv has them, too.
bench: .venv/installed
	PYTHONPATH="$(PYTHONPATH):$(CURDIR)" OMP_NUM_THREADS=1 python -m bench

# 20,000 generated images through a Slurm cluster on this machine, which must have Slurm installed (`slurm-wlm`, `munge`).
scale: .venv/installed
	PYTHONPATH="$(PYTHONPATH):$(CURDIR)" python -m bench.scale

# What is measured where the answer is known, beside the answer.
calibrate: .venv/installed
	PYTHONPATH="$(PYTHONPATH):$(CURDIR)" OMP_NUM_THREADS=1 python -m bench.calibrate

lint: .venv/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/Snakefile workflow/rules
	mypy
	snakemake --lint

format: .venv/installed
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow/Snakefile workflow/rules

# TORCH=cpu takes torch's processor-only build, TORCH=cuda the package index's own with its accelerator libraries; unsaid,
# it is cpu where no accelerator is seen and pip's sources hold that build. The stamp comes last, so an interrupted
# installation is taken up again.
INSTALL := $(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement
.venv/installed: requirements.lock requirements-cpu.lock requirements-cuda.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	torch="$(TORCH)"; \
	if test -z "$$torch" && ! command -v nvidia-smi && $(INSTALL) requirements-cpu.lock; then torch=cpu; fi; \
	$(INSTALL) "requirements-$${torch:-cuda}.lock"
	$(INSTALL) requirements.lock
	$(BIN)/python -m pip check
	touch $@

environment: .venv/installed

lock: .venv/installed
	python workflow/envs/lock.py

# Every key of a configuration, from the classes that read it.
reference: .venv/installed
	python workflow/reference.py

# The documentation as a site that needs no network: site/index.html.
docs: .venv/installed
	zensical build --clean --strict

clean-environment:
	rm -rf .venv

# Is everything in order, and what would run and why: of your study with CONFIG=my-study.yaml.
.PHONY: doctor explain
doctor explain: .venv/installed
	python -m pipeline $@ $(if $(CONFIG),--configfile $(CONFIG))
