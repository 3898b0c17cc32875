# Every target sets up .venv first; it needs python3 only (uv is used if installed, else pip).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
READY := $(VENV)/.ready

.PHONY: demo test drills lint bench clean

demo: $(READY)  ## caption the bundled tracks and show them
	$(BIN)/muscaps demo

test: $(READY)  ## all tests except the slow drills, no GPU needed
	$(BIN)/pytest -m "not slow" --numprocesses 2 --dist loadfile $(PYTEST)

drills: $(READY)  ## fault injection with full counts; takes long
	$(BIN)/pytest -m "drills" $(PYTEST)

lint: $(READY)  ## formatting, lint rules and types, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## the stages alone and the whole job on this machine
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
