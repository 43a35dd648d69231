# The two commands are `make quickstart` and `make test`; both make .venv if it is missing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
# Every module by name: pdoc follows __all__, which leaves submodules out.
MODULES = $(shell find qfedfm -name '*.py' -not -path '*/peers/*' | sed 's|\.py$$||; s|/__init__$$||; s|/|.|g' | sort)

.PHONY: quickstart test test-all bench lint docs clean

quickstart: $(READY)
	$(BIN)/qfedfm run experiments/quickstart.yaml

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal -m "not slow and not gpu"

test-all: lint
	$(BIN)/pytest -q

bench: $(READY)
	$(BIN)/qfedfm bench federation

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(READY)
	$(BIN)/pdoc --docformat google --output-directory site $(MODULES)

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)
