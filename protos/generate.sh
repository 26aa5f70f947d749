#!/bin/sh
# Generates the Go code of the .proto files beside it into DIR (default: beside them). Called by `make protos` and `make check-protos`.
# The plugins come from go.mod's tools, protoc from Debian's protobuf-compiler.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc
PATH=$plugins:$PATH
# Messages get Go types; services get ttrpc stubs alone (docs/decisions/0003).
protoc --go_out="$out" --go_opt=paths=source_relative task.proto events.proto options.proto bootstrap.proto
protoc --go-ttrpc_out="$out" --go-ttrpc_opt=paths=source_relative,prefix=V2 task_v2.proto
protoc --go-ttrpc_out="$out" --go-ttrpc_opt=paths=source_relative,prefix=V3 task_v3.proto
protoc --go-ttrpc_out="$out" --go-ttrpc_opt=paths=source_relative events_forward.proto
