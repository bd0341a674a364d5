# `make run` and `make test` are all that a new machine with Rust and a C compiler needs.
# `make check` is what CI runs and never writes; `make fix` writes.

CARGO ?= cargo
DATA ?= orion-data

.PHONY: run test e2e check fix generate manifests lint deny images bench clean-data

run: ## Build and start a server; data in $(DATA)
	$(CARGO) run --release --bin orion -- server --data-dir $(DATA)

test: ## All tests; installs what they need from the package registries
	e2e/build cluster
	$(CARGO) test --workspace --features orion/failpoints
	ORION_BIN=$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/orion tests/clients/run
	tests/stores/run

e2e: ## Scenarios on a Kubernetes cluster of three nodes, made here without Docker; needs root and Debian's packages
	e2e/run

check: lint deny manifests test e2e ## What CI runs

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features orion/failpoints -- -D warnings

# Built once for each version, outside the checkout; without optimization, because it runs for seconds. Advisories are
# not among the checks: their database is no package of a registry.
DENY_VERSION := 0.20.2
DENY := $${XDG_CACHE_HOME:-$$HOME/.cache}/orion/tools/cargo-deny-$(DENY_VERSION)

deny: ## Licenses, sources and crates of the dependencies, as deny.toml wants them
	[ -x $(DENY)/bin/cargo-deny ] || CARGO_PROFILE_DEV_DEBUG=0 \
		$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --debug --root $(DENY)
	$(DENY)/bin/cargo-deny check licenses bans sources

generate: ## The definitions of the kinds from crds/src, and config/rbac and config/manager from charts/orion
	$(CARGO) build --workspace --features orion/failpoints --bin orion-crds
	$${CARGO_TARGET_DIR:-target}/debug/orion-crds config/crd charts/orion/crds
	config/generate

manifests: ## The chart, and that kustomize installs what it does
	config/generate --check

images: ## With Docker: orion:0.1.0 and orion-operator:0.1.0
	docker build --target orion --tag orion:0.1.0 .
	docker build --target orion-operator --tag orion-operator:0.1.0 .

fix: generate ## Format, generate, and mend what clippy can
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --features orion/failpoints --fix --allow-dirty --allow-staged

bench: ## The table of docs/benchmarks.md, measured anew
	dataplane/dist --example s3-server
	$${CARGO_TARGET_DIR:-target}/dist/orion bench suite --s3-server $${CARGO_TARGET_DIR:-target}/dist/examples/s3-server
