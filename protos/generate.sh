#!/bin/sh
# Generates the Go code of the .proto files beside it into DIR (default: beside them). Called by `make protos` and `make check-protos`.
# Messages come from our own plugin (docs/decisions/0018), the ttrpc stubs from go.mod's tool, protoc from Debian's protobuf-compiler.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins/protoc-gen-wisp" ./gen
go build -o "$plugins/" github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc
PATH=$plugins:$PATH
protoc --wisp_out="$out" --wisp_opt=paths=source_relative task.proto events.proto options.proto bootstrap.proto
# From a service only ttrpc stubs are generated, no descriptor (docs/decisions/0003).
protoc --go-ttrpc_out="$out" --go-ttrpc_opt=paths=source_relative,prefix=V2 task_v2.proto
protoc --go-ttrpc_out="$out" --go-ttrpc_opt=paths=source_relative,prefix=V3 task_v3.proto
protoc --go-ttrpc_out="$out" --go-ttrpc_opt=paths=source_relative events_forward.proto
