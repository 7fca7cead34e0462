# What is needed: a Rust toolchain (rustup), and Go once, to build the programs of the API server; for the tests also Python 3.10.
# Everything runs on this machine; files go to target/ and to ~/.cache/databricks-operator.
WORLD = $${CARGO_TARGET_DIR:-target}/debug/world

help:
	@echo 'make demo   shows the operator at work, on a simulated account'
	@echo 'make up   starts a cluster, a simulated account and the operator in the background, to try things out'
	@echo 'make down   stops what `make up` started'
	@echo 'make test   runs all tests, except `make test-argocd` and `make terraform`'
	@echo 'make test-argocd   runs the operator with a real Argo CD, which Go takes minutes to build, once'
	@echo "make terraform   runs Databricks' Terraform provider on the simulated account: plan, create, change, destroy; Go takes minutes to build it, once"
	@echo 'make campaign   runs the operator under injected faults, in virtual time: RUNS=100000 KIND=Group,User STORY=Create; SEED=17 KIND=Group STORY=Create replays one run'
	@echo 'make controls   shows that the campaign sees bugs: seeds each bug of hack/campaign/controls into a copy and runs the campaign; ONLY=intent tries a few'
	@echo 'make bench   measures what the operator costs, in some 13 minutes: ONLY=peer,scale N=300 measures less; SIZES=30000, JSON=bench.json, WRITE=docs/performance.md'
	@echo 'make generate   writes all generated files: CRDs, RBAC rules, the copies of both in the chart, the manifest of config/install, tables of tests and documents, config/argocd'
	@echo 'make recording   runs the demo and records what it prints in docs/demo.txt'

demo up down: build
	@$(WORLD) $@

# README shows parts of it, and a test compares it with a run of the demo.
recording: build
	$(WORLD) demo >docs/demo.txt.new
	mv docs/demo.txt.new docs/demo.txt

# A story mostly waits, so more stories run at a time than there are cores.
test: cargo
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-10} cargo test --workspace --locked

# Not part of `test`, as Argo CD takes minutes to build. It prints its stories as they happen.
test-argocd: cargo
	cargo test --workspace --locked --test argocd -- --nocapture --test-threads=3

campaign: cargo
	cargo run --locked --quiet --profile campaign -p campaign

# The operator is built as it is released. The program that measures it is built like the campaign, which takes less time.
bench: cargo
	cargo build --locked --release -p databricks-operator
	cargo run --locked --quiet --profile campaign -p bench

# Not part of `test`, as OpenTofu and the provider take minutes to build.
terraform: cargo
	cargo run --locked --quiet -p terraform

# Bugs, seeded one by one into a copy of the sources, that the campaign must see.
controls: cargo
	hack/campaign/controls/run

# Each kind is in all of these files; a test fails while one of them is not in step. The last line needs an object of each kind that a
# story recorded; if one is missing, it says so.
generate: cargo
	cargo run --locked --quiet -- crds --out crds --out charts/databricks-operator/files/crds
	cargo run --locked --quiet -- rbac --out charts/databricks-operator/files
	UPDATE=1 cargo test --locked --quiet --test ids --test chart
	UPDATE=1 cargo test --locked --quiet --test docs -- documented metrics_md dangers
	UPDATE=1 cargo test --locked --quiet --test argocd_health in_step

build: cargo
	cargo build --locked -p databricks-operator -p world

cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust, https://rustup.rs' >&2; exit 1; }

.PHONY: help demo up down recording campaign bench controls terraform test test-argocd generate build cargo
