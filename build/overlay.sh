#!/bin/sh
# overlay.sh DIR writes DIR/overlay.json for `go build -overlay`: it sizes two tables of the Go runtime for a heap of a megabyte
# (docs/decisions/0023). They are capacities that grow on demand, nothing depends on their values but memory. A Go release that does not
# have them is built as it is, and that is said.
set -eu
dir=$1
source=$(${GO:-go} env GOROOT)/src/runtime/mspanset.go
mkdir -p "$dir"
sed -e 's/spanSetBlockEntries = 512$/spanSetBlockEntries = 16/; s/spanSetBlockEntries = 512 /spanSetBlockEntries = 16 /' \
	-e 's/spanSetInitSpineCap = 256$/spanSetInitSpineCap = 8/; s/spanSetInitSpineCap = 256 /spanSetInitSpineCap = 8 /' "$source" >"$dir/mspanset.go.$$"
mv "$dir/mspanset.go.$$" "$dir/mspanset.go" # whole at any moment: another build may read it
if [ "$(diff "$source" "$dir/mspanset.go" | grep -c '^>')" -eq 2 ]; then
	replace="\"$source\":\"$(cd "$dir" && pwd)/mspanset.go\""
else
	echo "$source has other tables than those of Go 1.26: they are left as they are, and an idle shim keeps 0.9 MB more after its first collection" >&2
	replace=
fi
echo "{\"Replace\":{$replace}}" >"$dir/overlay.json.$$"
mv "$dir/overlay.json.$$" "$dir/overlay.json"
