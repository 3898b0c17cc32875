# Every target sets up what it needs in .venv, from nothing but python3 (uv if it is there, else pip).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
READY := $(VENV)/.ready

.PHONY: demo test drills lint bench clean

demo: $(READY)  ## caption the bundled tracks and show them
	$(BIN)/muscaps demo

test: $(READY)  ## everything but the slow drills, no GPU needed
	$(BIN)/pytest -m "not slow" $(PYTEST)

drills: $(READY)  ## faults injected on purpose, full counts; takes long
	$(BIN)/pytest -m "drills" $(PYTEST)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## this machine's ceiling, and how near the job comes
	$(BIN)/muscaps bench

$(READY): pyproject.toml constraints.txt
ifdef UV
	test -d $(VENV) || uv venv --quiet --python $(PYTHON) $(VENV)
	uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[test]'
else
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
endif
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
