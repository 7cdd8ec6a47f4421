# make        set everything up and run the default benchmark (real digits, no download)
# make test   set everything up and run the tests
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
GRID ?= config/digits.yaml
PUBLISHED ?= digits sampling
# nproc answers with OMP_NUM_THREADS where that is set
CORES ?= $(shell env -u OMP_NUM_THREADS nproc)
export OMP_NUM_THREADS := 1
export MPLBACKEND := agg

.PHONY: run verify publish test quick lint doctest test-mutations test-fuzz test-kills test-storage clean help

run: $(VENV)/.ready
	@$(BIN)/gm run $(GRID) --cores $(CORES)

verify: $(VENV)/.ready
	@$(BIN)/gm run $(GRID) --cores $(CORES) || [ $$? -eq 3 ]
	@$(BIN)/gm verify results/published/$(basename $(notdir $(GRID))).zip --run results/$(basename $(notdir $(GRID)))

publish: $(VENV)/.ready
	for grid in $(PUBLISHED); do \
	  $(BIN)/gm run config/$$grid.yaml --cores $(CORES) && \
	  $(BIN)/gm archive config/$$grid.yaml --tables --out results/published/$$grid.zip || exit 1; done

test: lint doctest $(VENV)/.ready
	$(BIN)/pytest -n $(CORES) --dist worksteal

quick: $(VENV)/.ready
	$(BIN)/pytest -n $(CORES) --dist worksteal -m "not slow and not workflow"

doctest: $(VENV)/.ready
	$(BIN)/pytest --doctest-modules gm

lint: $(VENV)/.ready
	$(BIN)/ruff check gm tests
	$(BIN)/ruff format --check gm tests
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python tests/lint_workflow.py

test-mutations: $(VENV)/.ready
	$(BIN)/python tests/mutations/run.py --cores $(CORES)

test-fuzz: $(VENV)/.ready
	$(BIN)/python tests/robustness/fuzz.py --cores $(CORES)

test-kills: $(VENV)/.ready
	$(BIN)/python tests/robustness/kills.py

test-storage: $(VENV)/s3/.ready
	$(VENV)/s3/bin/python -m pytest tests/test_object_storage.py

clean:
	rm -rf results/digits .snakemake
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

help:
	@echo "make               set up and run the benchmark GRID=$(GRID) on CORES=$(CORES) cores"
	@echo "make verify        the same, and compare its numbers with those in results/published"
	@echo "make publish       make the tables in results/published anew, of $(PUBLISHED)"
	@echo "make test          lint, doctests and all tests"
	@echo "make quick         the quick tests"
	@echo "make test-mutations  put named defects into the code, one at a time: a test must notice each"
	@echo "make test-fuzz     1000 mutated configurations: each is valid, or refused by one error with file and key"
	@echo "make test-kills    100 kill -9 in the middle of runs: each is resumed, the results are the same bytes"
	@echo "make test-storage  a grid whose files live in a bucket of a local S3 server"
	@echo "make lint          ruff, snakefmt, snakemake --lint"
	@echo "make clean         remove what 'make' made of the default benchmark"

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

# On top of the other environment: the S3 client wants an older release of a library that is pinned there.
$(VENV)/s3/.ready: $(VENV)/.ready
	$(BIN)/python -m venv $(VENV)/s3
	$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' \
	  > "$$($(VENV)/s3/bin/python -c 'import site; print(site.getsitepackages()[0])')/base.pth"
	$(VENV)/s3/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[s3]'
	touch $@
