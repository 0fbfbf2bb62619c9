# Each command sets up .venv by itself; all that a machine needs is Python >= 3.11 and make.
PYTHON ?= python3
PRESET ?= quick
WORKERS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help demo demo-all test test-nightly test-kaggle run needs-data lab bench docs clean

help:
	@echo "make demo                          make the demo competition, run notebooks 01 to 05 on it, print the CV/LB table"
	@echo "make demo-all                      all notebooks: 06 to 10 on demos of their own"
	@echo "make run DATA=folder PRESET=quick  the same notebooks on a competition's folder (presets: demo, quick, full)"
	@echo "make run DATA=folder ONLY=04       one of them, such as the comparison of mixups, which runs only when asked for"
	@echo "make lab                           open the notebooks in Jupyter"
	@echo "make test                          ruff, the type checker, and pytest in two processes (more: WORKERS=4)"
	@echo "make test-nightly                  the long forms: dozens of kills, a store of HW4's size (some minutes)"
	@echo "make test-kaggle                   every notebook with the versions of Kaggle's image (another 6 GB)"
	@echo "make bench                         the kit's speed beside the source's way"
	@echo "make docs                          docs/api.md and the package's types, out of the sources"

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "the kit needs Python 3.11 or newer, and $(PYTHON) is older: try  make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

demo: $(VENV)/installed
	$(RUN) -m kit demo

demo-all: $(VENV)/installed
	$(RUN) -m kit demo --all

needs-data:
	@test -n "$(DATA)" || { echo "say which folder: make run DATA=path/to/competition"; exit 1; }

run: needs-data $(VENV)/installed
	$(RUN) -m kit run --data "$(DATA)" --preset "$(PRESET)" $(if $(ONLY),--only "$(ONLY)")

lab: $(VENV)/installed
	PYTHONPATH="$(CURDIR)" $(RUN) -m jupyterlab notebooks

# A file's tests stay together in one process, which has one thread: so both cores are busy and no two threads wait.
test: $(VENV)/installed
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pyrefly check
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The second run has all threads, and adds in another order, as another processor would: no tolerance may depend on that.
test-nightly: $(VENV)/installed
	$(RUN) -m pytest -m nightly
	MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(RUN) -m pytest

# What the image lacks is left out; no wheel of the constraints is there for the newest Pythons.
$(VENV)-kaggle/installed: requirements.txt requirements-kaggle.txt
	$(PYTHON) -m venv $(VENV)-kaggle
	grep -vE '^(audiomentations|diffsptk|onnxruntime|onnxscript|openvino)' requirements.txt > $(VENV)-kaggle/requirements.txt
	$(VENV)-kaggle/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r $(VENV)-kaggle/requirements.txt -c requirements-kaggle.txt
	@touch $@

test-kaggle: $(VENV)-kaggle/installed
	$(VENV)-kaggle/bin/python -m pytest tests/kaggle/test_runs.py

bench: $(VENV)/installed
	$(RUN) -m kit bench

docs: $(VENV)/installed
	$(RUN) -m kit.docs

clean:
	rm -rf runs cache data/voices data/keywords data/rainforest data/digits .pytest_cache .ruff_cache
