# The short list of things one does here. Python, make and the package registries are all it needs.
# `make demo` shows the main job; `make test` passes the tests; `make check` is quick and needs no control plane.

PYTHON ?= python3
UV := .tools/bin/uv
RUN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
# The tests start some hundred Python processes. Without byte code, each one compiles all that it imports: a second.
unexport PYTHONDONTWRITEBYTECODE

# Three at a time, since tests wait as much as they work; file by file, in the order of tests/conftest.py.
PROCESSES ?= 3
BESIDE := --numprocesses $(PROCESSES) --dist loadfile

# For `make test-busy`: how many busy loops, and the tests (all of them if empty).
BUSY ?= $(shell getconf _NPROCESSORS_ONLN)
TESTS ?=

# For `make e2e-kind`: the minor version of Kubernetes. For `make e2e`, too: the major version of Helm, and the versions
# of IP (ipv4, ipv6 or dual).
KUBERNETES ?= 1.36
HELM ?= 4
IP_FAMILY ?= ipv4

# What `make image` builds: the image that the chart names.
IMAGE ?= ghcr.io/tallystick/tallystick:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' operator/tallystick/__init__.py)

.DEFAULT_GOAL := help
.PHONY: help demo quick test test-unit test-busy soak bench mutations permissions kstatus interop check format crds chart manifests goldens
.PHONY: plane plane-wheel image e2e e2e-kind gitops kind clean

help: ## Show this list.
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/ready ## Run the main job on a control plane of our own: apply a PairingToken, redeem it, revoke it.
	@$(RUN)/tallystick demo

test: check plane ## Pass all tests, on a real control plane (the first time builds it: 6 to 14 minutes).
	@$(RUN)/python -m pytest $(BESIDE)

quick: check ## Run the checks and the unit tests (under a minute).
	@$(RUN)/python -m pytest --quiet --numprocesses 2 --dist worksteal tests/unit

test-unit: $(UV) ## Run the unit tests on another Python: PYTHON=python3.13, or a path; TESTS="..." for some of them.
	@$(UV) run --isolated --locked --quiet --all-groups --python $(PYTHON) python -m pytest --quiet --numprocesses 2 $(or $(TESTS),tests/unit)

test-busy: check plane ## Pass all tests beside one busy loop per core; BUSY=4 TESTS="..." for more loops, fewer tests.
	@tests/busy.sh $(BUSY) $(RUN)/python -m pytest $(BESIDE) $(TESTS)

soak: plane ## Run the proofs with all their rounds (1 to 2 hours), and print what they counted.
	@$(RUN)/python -m pytest --soak $(BESIDE)

bench: .venv/ready ## Measure the operator beside bare clients (15 minutes): a table, and build/bench.json.
	@$(RUN)/python -m tests.bench $(ARGS)

mutations: .venv/ready ## Remove each security rule from a copy of the code: its tests must fail (5 minutes); ARGS=--live for live ones.
	@$(RUN)/python -m tests.mutations $(ARGS)

permissions: plane ## Take each permission of the chart away once: the test in tests/permissions/needed.py must fail (40 minutes).
	@$(RUN)/python -m tests.permissions $(ARGS)

kstatus: .venv/ready ## Compute the table of docs/status.md with the Go code of kstatus (needs Go; builds for some minutes).
	@$(RUN)/python -m tests.kstatus

interop: .venv/ready ## Try keys between Python, Node.js and Go, and kill the device of examples/04-fleet (needs Node.js and Go).
	@$(RUN)/python -m tests.interop
	@$(RUN)/python -m tests.interop.device

check: .venv/ready ## Lint, types, the rule of imports, and the workflows.
	@$(RUN)/ruff check
	@$(RUN)/ruff format --check
	@$(RUN)/mypy
	@$(RUN)/lint-imports --no-logo
	@$(RUN)/python -m tests.actionlint

format: .venv/ready ## Format the code.
	@$(RUN)/ruff check --fix
	@$(RUN)/ruff format

crds: .venv/ready ## Write crds/ anew from the models.
	@$(RUN)/tallystick manifests --crds-to crds

chart: .venv/ready ## Write the generated part of helm/tallystick anew: CRDs, RBAC, policies, values.
	@$(RUN)/tallystick manifests --chart-to helm/tallystick

manifests: .venv/ready ## Render the chart for plain kubectl: dist/tallystick.crds.yaml and dist/tallystick.yaml.
	@$(RUN)/python -m tests.chart.manifests dist

goldens: .venv/ready ## Store anew what users see (help, manifests, metrics, audit lines); see the diff before committing it.
	@UPDATE_GOLDENS=1 $(RUN)/python -m pytest -q tests/unit/golden

plane: .venv/ready ## Build the control plane's binaries into the user's cache.
	@$(RUN)/tallystick build-plane

plane-wheel: .venv/ready ## Build the wheel tallystick-controlplane from the cache into dist/: a control plane for machines without Go.
	@$(RUN)/python -m tallystick.localplane.wheel build/plane-wheel
	@$(UV) build --quiet --wheel --out-dir dist build/plane-wheel
	@ls -s --block-size=1M dist/tallystick_controlplane-*.whl

image: .venv/ready ## Build the operator's image without Docker (root on Linux): dist/image.tar; IMAGE=name:tag.
	@operator/image.sh $(IMAGE) dist/image.tar

e2e: .venv/ready ## Install the chart on a real node of our own, without Docker (root on Linux), and run its story; HELM=3, IP_FAMILY=ipv6.
	@HELM=$(HELM) IP_FAMILY=$(IP_FAMILY) $(RUN)/python -m pytest -m e2e tests/e2e --cluster node $(ARGS)

e2e-kind: .venv/ready ## The same on kind, with Docker or Podman; KUBERNETES=1.32 HELM=3 IP_FAMILY=dual.
	@KUBERNETES=$(KUBERNETES) HELM=$(HELM) IP_FAMILY=$(IP_FAMILY) $(RUN)/python -m pytest -m e2e tests/e2e --cluster kind $(ARGS)

gitops: plane ## Apply the chart and tokens with real Flux and Argo CD (needs Go, git, kubectl; the first time builds for 20 minutes).
	@$(RUN)/python -m pytest -m gitops tests/gitops $(ARGS)

kind: .venv/ready ## Create a kind cluster with the operator, for you to try; it stays.
	@KUBERNETES=$(KUBERNETES) HELM=$(HELM) IP_FAMILY=$(IP_FAMILY) $(RUN)/python -m tests.e2e.for_people

clean: ## Remove the virtual environments; the control plane's binaries stay in the user's cache.
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache

.venv/ready: pyproject.toml uv.lock | $(UV)
	@echo "Installing the Python packages that uv.lock names (about a minute the first time) ..."
	@$(UV) sync --locked --quiet --all-groups --python $(PYTHON)
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
