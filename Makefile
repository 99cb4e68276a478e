# make demo    see the bundled model explain a leaf        make test    run the tests
# Everything is installed into .venv, once; `make clean` takes it away again.

PYTHON ?= python3
PORT ?= 7860
PYTEST_ARGS ?=
export PYTHON

VENV := .venv
STAMPS := $(VENV)/.stamps
VENV_PYTHON := $(VENV)/bin/python

# After the install nothing asks the network, unless the caller says otherwise: HF_HUB_OFFLINE=0 make demo
GRADIO_ANALYTICS_ENABLED ?= False
HF_HUB_OFFLINE ?= 1
HF_HUB_DISABLE_TELEMETRY ?= 1
export GRADIO_ANALYTICS_ENABLED HF_HUB_OFFLINE HF_HUB_DISABLE_TELEMETRY

# `make test` and `make quality` read what they need from the extras of pyproject.toml. The project itself
# is not installed, so that the scripts are tried as they are in a clean clone.
EXTRA = import sys, tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")

.PHONY: help demo test style quality clean

help:
	@echo "make demo     serve the app with the bundled model on 127.0.0.1:$(PORT)   (PORT=8000 for another port)"
	@echo "make test     run the tests                       (PYTEST_ARGS='-k attfind' for some, '-m slow' for the slow ones, '-n 0' one by one)"
	@echo "make style    format the code and fix what ruff can fix"
	@echo "make quality  check format, lint and types"
	@echo "make clean    remove .venv and the caches"
	@echo
	@echo "The first run installs into .venv, with $(PYTHON)           (PYTHON=python3.12 for another one)"

demo: $(STAMPS)/app
	@$(VENV_PYTHON) -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0)' || \
		{ echo "Port $(PORT) is taken. Choose another one: make demo PORT=$$(($(PORT) + 1))"; exit 1; }
	GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=$(PORT) $(VENV_PYTHON) app.py

# A worker more than there are cores, for many tests wait for a process or a page, at most four, each with one thread: small
# networks gain nothing from more. A file stays with one worker, which builds once what its tests share, and files begin in their order: see tests/conftest.py.
test: $(STAMPS)/test
	@scripts/chromium.sh $(VENV_PYTHON)
	@export OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}" PATH="$(CURDIR)/$(VENV)/bin:$$PATH" && \
		workers="$$($(VENV_PYTHON) -c 'from front.cores import usable_cores; print(min(usable_cores() + 1, 4))')" && \
		$(VENV_PYTHON) -m pytest --numprocesses "$$workers" --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

style: $(STAMPS)/dev
	$(VENV_PYTHON) -m ruff check --fix --exit-zero --quiet .
	$(VENV_PYTHON) -m ruff format .

quality: $(STAMPS)/dev
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written when its install has succeeded, and grows old with the file that lists what to install.

$(STAMPS)/venv:
	@scripts/venv.sh $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/app: requirements.txt $(STAMPS)/venv
	@echo "Installing the requirements into $(VENV): a few minutes, and a few gigabytes where torch comes with CUDA."
	$(VENV_PYTHON) -m pip install -r requirements.txt
	@touch $@

$(STAMPS)/test: pyproject.toml $(STAMPS)/app
	@$(VENV_PYTHON) -c '$(EXTRA)' test > $(STAMPS)/test.txt
	$(VENV_PYTHON) -m pip install -r requirements.txt -r $(STAMPS)/test.txt
	@touch $@

$(STAMPS)/dev: pyproject.toml $(STAMPS)/app
	@$(VENV_PYTHON) -c '$(EXTRA)' dev > $(STAMPS)/dev.txt
	$(VENV_PYTHON) -m pip install -r requirements.txt -r $(STAMPS)/dev.txt
	@touch $@
