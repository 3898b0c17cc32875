# Every target sets up .venv first; it needs python3 only (uv is used if installed, else pip). docs/install.md has sizes.
# make demo TORCH_INDEX=ADDRESS takes torch and torchaudio from another index, such as PyTorch's for CPUs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.ready-test

ifdef UV
CREATE := uv venv --quiet --python $(PYTHON) $(VENV)
INSTALL := uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt
else
CREATE := $(PYTHON) -m venv $(VENV)
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
endif

.PHONY: demo test drills lint bench clean

demo: $(READY)  ## caption the bundled tracks and show them
	$(BIN)/muscaps demo

test: $(TEST_READY)  ## all tests except the slow drills, no GPU needed
	$(BIN)/pytest -m "not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

drills: $(TEST_READY)  ## fault injection with full counts; takes long
	$(BIN)/pytest -m "drills" $(PYTEST)

lint: $(TEST_READY)  ## formatting, lint rules and types, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## the stages alone and the whole job on this machine
	$(BIN)/muscaps bench

$(READY): pyproject.toml constraints.txt
	test -d $(VENV) || $(CREATE)
ifdef TORCH_INDEX
	$(INSTALL) --index-url $(TORCH_INDEX) torch torchaudio
else
	@echo "Downloading up to 3.0 GB into $(VENV), 2.7 GB of it torch and its CUDA libraries; docs/install.md: less"
endif
	$(INSTALL) --editable .
	touch $@

$(TEST_READY): $(READY)
	$(INSTALL) --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
