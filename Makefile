# Everything that is done with this repository is a target here; CI calls nothing else. `make help` lists them.

GO      ?= go
CACHE   := .cache
TOOLS   := $(CACHE)/bin
ROOTFS  := $(CACHE)/rootfs
SHIM    := bin/containerd-shim-wisp-v2
SHIMCTL := bin/shimctl

# What Debian brings. containerd is the 1.6 daemon of the end-to-end tests.
PACKAGES := busybox-static ca-certificates containerd e2fsprogs gcc libc6-dev libprotobuf-dev libseccomp-dev \
	pkg-config protobuf-compiler

# The modules of this repository whose code is vetted and linted.
MODULES := . e2e $(patsubst %/go.mod,%,$(wildcard bench/go.mod))

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME   ?= 20s
TESTFLAGS  ?=
BENCHFLAGS ?=
SOAKROUNDS ?= 20
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Builds are the same in every directory and need no git: -trimpath, and no VCS stamp.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false

# A CI job may have a short PATH and no home.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin
ifeq ($(HOME),)
export GOCACHE ?= $(CURDIR)/$(CACHE)/go-build
export GOPATH  ?= $(CURDIR)/$(CACHE)/gopath
endif

# Where the shim begins, and start forks: docs/decisions/0021. On other architectures it begins as any Go program.
ENTRY := $$(case $$($(GO) env GOARCH) in amd64|arm64) echo -E github.com/wisp-shim/wisp/internal/detach.entry;; esac)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

##@ First steps

help: ## show this
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables: FUZZTIME=%s  SOAKROUNDS=%s  BENCHFLAGS  TESTFLAGS (for go test)  VERSION=%s\n' '$(FUZZTIME)' '$(SOAKROUNDS)' '$(VERSION)'

deps: packages $(addprefix $(TOOLS)/,runc containerd ctr containerd-shim-runc-v2) $(ROOTFS)/etc/passwd ## get what building and testing need: Debian packages, runc, containerd 2.4, a busybox root file system

build: shim ## build bin/containerd-shim-wisp-v2 and bin/shimctl
	$(BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o $(SHIMCTL) ./cmd/shimctl

# Tests build the shim with this, so that it is the same.
shim:
	@build/overlay.sh $(CACHE)/overlay
	$(BUILD) -overlay $(CACHE)/overlay/overlay.json -ldflags "-s -w $(ENTRY) -X github.com/wisp-shim/wisp/shim.version=$(VERSION)" -o $(SHIM) ./cmd/shim

run: deps build ## run a container with the shim, show its events and exit status; it exits with 42
	@echo '+ $(SHIMCTL) run --events $(ROOTFS) /bin/sh -c ...'
	@status=0; $(SHIMCTL) run --events --shim $(SHIM) --runtime $(TOOLS)/runc $(ROOTFS) /bin/sh -c \
		'echo "hello from $$(hostname), pid $$$$"; cat /proc/self/cgroup | head -n 3; exit 42' </dev/null || status=$$?; \
	echo "exit status $$status"; test $$status -eq 42

##@ Checks

test: deps build check-protos vet layers ## run every test: rules, units with -race, end to end against containerd 2.4 and 1.6
	$(GO) test -race $(TESTFLAGS) $$($(GO) list ./... | grep -v /internal/layers)
	cd e2e && $(GO) test -count=1 $(TESTFLAGS) ./...

vet: ## run go vet on every module
	@for m in $(MODULES); do echo "+ go vet ./... in $$m"; (cd $$m && $(GO) vet ./...) || exit 1; done

layers: ## check who imports whom, what the shim links, its size, and the rules of style
	$(GO) test -count=1 ./internal/layers

bench: deps build $(TOOLS)/rust ## run our shim, containerd's and the Rust one side by side; prints ratios, writes bench/out and BENCH.md (30 min; BENCHFLAGS="-quick")
	cd bench && CGO_ENABLED=0 $(GO) build -trimpath -o ../$(TOOLS)/bench .
	$(TOOLS)/bench -rootfs $(ROOTFS) -runc $(TOOLS)/runc -shim wisp=$(SHIM) -shim reference=$(TOOLS)/containerd-shim-runc-v2 \
		$$(test ! -x $(TOOLS)/rust/bin/containerd-shim-runc-v2-rs || echo -shim rust=$(TOOLS)/rust/bin/containerd-shim-runc-v2-rs) $(BENCHFLAGS)
	cp bench/out/BENCH.md BENCH.md

# The Rust shim is a contender where there is a cargo to build it.
$(TOOLS)/rust:
	if command -v cargo >/dev/null; then cargo install --quiet --root $@ containerd-runc-shim; else mkdir -p $@; echo "no cargo: the Rust shim is left out"; fi

soak: deps build ## repeat the churn of lives, tasks and execs on the real binary SOAKROUNDS times
	$(GO) test -count=$(SOAKROUNDS) -timeout 0 -run 'TestMany' ./cmd/shim

lint: ## run gofmt, go vet and staticcheck on every module
	@unformatted=$$($$($(GO) env GOROOT)/bin/gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted:"; echo "$$unformatted"; exit 1; fi
	@$(MAKE) vet
	@for m in $(MODULES); do echo "+ staticcheck ./... in $$m"; (cd $$m && $(GO) run $(STATICCHECK) ./...) || exit 1; done

fuzz: ## run each fuzz test for FUZZTIME
	@grep -rl --include='*_test.go' --exclude-dir=.cache '^func Fuzz' . | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file" | while read -r name; do \
			echo "+ $$name in $$(dirname "$$file")"; \
			(cd "$$(dirname "$$file")" && $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) .) </dev/null || exit 1; \
		done || exit 1; \
	done

##@ Generated code

protos: packages ## generate protos/*.pb.go from the .proto files
	protos/generate.sh

check-protos: packages ## fail if protos/*.pb.go is not what the .proto files give
	@mkdir -p $(CACHE) && dir=$$(mktemp -d -p $(CACHE)) && trap 'rm -rf "$$dir"' EXIT && \
	protos/generate.sh "$(CURDIR)/$$dir" && \
	for f in "$$dir"/*.go; do \
		diff -I '^//.*protoc' -u "protos/$${f##*/}" "$$f" || { echo "protos/$${f##*/} is stale: run make protos"; exit 1; }; \
	done && echo "protos: up to date"

##@ Leftovers

clean: ## remove what make has built and fetched: bin, .cache
	@if [ -d $(CACHE) ]; then chmod -R u+w $(CACHE); fi
	rm -rf bin $(CACHE)

# The rest serves the targets above.

packages:
	@[ -z '$(PACKAGES)' ] || command -v dpkg >/dev/null || { \
		echo "this is no Debian: install the like of $(PACKAGES), and run make PACKAGES=" >&2; exit 1; }
	@missing=; for p in $(PACKAGES); do \
		dpkg -s $$p 2>/dev/null | grep -q '^Status: install ok installed' || missing="$$missing $$p"; done; \
	[ -n "$$missing" ] || exit 0; \
	if [ $$(id -u) -ne 0 ]; then echo "missing packages: as root, apt-get install$$missing" >&2; exit 1; fi; \
	if dpkg -s containerd.io 2>/dev/null | grep -q '^Status: install ok'; then \
		echo "Docker's containerd.io is installed and Debian's containerd would replace it: use another machine" >&2; exit 1; fi; \
	echo "+ apt-get install$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	get() { apt-get install -y -qq --no-install-recommends $$missing </dev/null; }; \
	get 2>/dev/null || { apt-get update -qq && get; }

# Tools are built anew when the go.mod that pins them changes, and by a Go command that decides what is stale.
$(TOOLS)/runc: go.mod | packages
	$(GO) build -trimpath -buildvcs=false -tags seccomp -ldflags '-s -w' -o $@ github.com/opencontainers/runc
	@touch $@

CONTAINERD := github.com/containerd/containerd/v2/cmd
$(TOOLS)/containerd: TAGS := urfave_cli_no_docs,no_btrfs,no_zfs,no_devmapper,no_aufs
$(TOOLS)/ctr: TAGS := urfave_cli_no_docs,no_btrfs,no_zfs,no_devmapper,no_aufs
$(TOOLS)/containerd-shim-runc-v2: TAGS := urfave_cli_no_docs,no_grpc
$(TOOLS)/containerd $(TOOLS)/ctr $(TOOLS)/containerd-shim-runc-v2: e2e/go.mod
	cd e2e && $(BUILD) -tags $(TAGS) -ldflags '-s -w' -o $(CURDIR)/$@ $(CONTAINERD)/$(@F)
	@touch $@

$(ROOTFS)/etc/passwd: | packages
	@echo '+ make $(ROOTFS)'
	@mkdir -p $(addprefix $(ROOTFS)/,bin dev etc proc root sys tmp)
	@cp "$$(command -v busybox)" $(ROOTFS)/bin/busybox.new && mv $(ROOTFS)/bin/busybox.new $(ROOTFS)/bin/busybox
	@for name in $$(busybox --list); do [ $$name = busybox ] || ln -sf busybox $(ROOTFS)/bin/$$name; done
	@echo 'root:x:0:0:root:/root:/bin/sh' >$@

.PHONY: help deps build shim run test vet layers bench soak lint fuzz protos check-protos clean packages
