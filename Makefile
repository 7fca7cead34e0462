# What is needed: a Rust toolchain (rustup), and Go once, to build the programs of the API server.
# Everything runs on this machine; files go to target/ and to ~/.cache/databricks-operator.
WORLD = $${CARGO_TARGET_DIR:-target}/debug/world

help:
	@echo 'make demo   see the operator at work, against a simulated account'
	@echo 'make up     the same to try things out: leaves it running in the background'
	@echo 'make down   ends what `make up` started'
	@echo 'make test   all tests'

demo up down: build
	@$(WORLD) $@

test: cargo
	cargo test --workspace --locked

build: cargo
	cargo build --locked -p databricks-operator -p world

cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust, https://rustup.rs' >&2; exit 1; }

.PHONY: help demo up down test build cargo
