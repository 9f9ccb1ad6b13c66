.DELETE_ON_ERROR:
.PHONY: up test test-unit check bench sim faults reference lock clean
.DEFAULT_GOAL := up
# An activated environment of somebody else must not be the one that is changed.
# Bytecode is kept: without it every start compiles ManMan and its libraries anew.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME UV_PYTHON UV_SYSTEM_PYTHON PYTHONDONTWRITEBYTECODE
export UV_SYSTEM_CERTS := 1

PY := .venv/bin/python
# A moved checkout, or a Python that is gone: everything in .venv names absolute paths, so it is made anew.
$(shell $(PY) -c 'import os,sys; sys.exit(open(".venv/.here").read().strip() != os.getcwd())' 2>/dev/null || rm -f .venv/.here .venv/.run .venv/.dev)
UV := $(shell command -v uv || echo .tools/uv/bin/uv)
# uv reads no pip settings; a company's mirror stands in them.
MIRROR = index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(python3 -m pip config get global.index-url 2>/dev/null || :)}}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi
# Offline first: what is cached needs no network. --python: or uv syncs the activated environment.
SYNC = @set -- pip sync -q --python $(PY) --require-hashes $<; { $(UV) "$$@" --offline 2>/dev/null || { $(MIRROR); $(UV) "$$@"; }; } && \
	$(UV) pip install -q --offline --python $(PY) --no-deps --no-build-isolation -e . && touch $@
COMPILE = @$(MIRROR); UV_NO_CONFIG=1 $(UV) pip compile -q --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-index-annotation

up: .venv/.run ; @exec $(PY) -m manman up
test: .venv/.dev ; @exec $(PY) -m manman test
test-unit: .venv/.dev ; @exec $(PY) -m manman test unit
bench: .venv/.dev ; @exec $(PY) -m bench
reference: .venv/.dev ; @$(PY) tools/reference.py && $(PY) tools/reference_api.py && exec $(PY) tools/asyncapi.py
SEEDS ?= 50
sim: .venv/.dev ; @exec env PYTHONPATH=tests $(PY) -m sim $(if $(SEED),=$(SEED),$(SEEDS) $(if $(filter file,$(origin SEEDS)),,--keep))
SECONDS ?= 180
faults: .venv/.dev ; @exec env PYTHONPATH=tests $(PY) -m faults $(if $(SEED),=$(SEED),$(if $(filter file,$(origin SEEDS)),6,$(SEEDS))) $(SECONDS)
check: .venv/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@exec $(PY) -m pytest tests/house --ignore=tests/house/test_tools.py

.tools/uv/bin/uv: tools/requirements-uv.txt tools/bootstrap.sh
	@sh tools/bootstrap.sh && touch $@
.venv/.here: | $(filter .tools/%,$(UV))
	@$(UV) venv -q --clear --no-python-downloads --python '>=3.11' .venv && pwd -P >$@
ifeq ($(wildcard .venv/.dev),)
.venv/.run: requirements.lock pyproject.toml | .venv/.here ; $(SYNC)
else
.venv/.run: .venv/.dev ; @touch $@
endif
.venv/.dev: requirements-dev.lock pyproject.toml | .venv/.here ; $(SYNC)

lock: | $(filter .tools/%,$(UV))
	$(COMPILE) requirements.in -o requirements.lock
	$(COMPILE) requirements-dev.in -o requirements-dev.lock
	$(COMPILE) --no-annotate tools/requirements-uv.in -o tools/requirements-uv.txt

# State lies elsewhere and stays.
clean: ; rm -rf .venv .tools .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
