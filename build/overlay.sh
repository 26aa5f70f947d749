#!/bin/sh
# overlay.sh DIR writes DIR/overlay.json for `go build -overlay`: constants of the Go runtime that fit a heap of a megabyte
# (docs/decisions/0023). None of them bounds anything: where more is needed the runtime makes more. A Go release whose runtime looks
# otherwise is built as it is, and that is said.
set -eu
dir=$1
runtime=$(${GO:-go} env GOROOT)/src/runtime
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
replace=
known=yes

# put FILE writes standard input to a file of DIR that is whole at any moment, for another build may read it.
put() {
	cat >"$dir/$1.$$"
	mv "$dir/$1.$$" "$dir/$1"
}

# change FILE SED... copies a file of the runtime with the changes, each of which must change one line.
change() {
	file=$1
	shift
	expressions=
	for s in "$@"; do expressions="$expressions;$s"; done
	sed -e "${expressions#;}" "$runtime/$file" | put "$file"
	[ "$(diff "$runtime/$file" "$dir/$file" | grep -c '^>')" -eq $# ] || known=no
	replace="$replace,\"$runtime/$file\":\"$dir/$file\""
}

# The lists of spans: four for each size class, with a first block and an index of 6 KB.
change mspanset.go 's/spanSetBlockEntries = 512 /spanSetBlockEntries = 16 /' 's/spanSetInitSpineCap = 256 /spanSetInitSpineCap = 8  /'
# Mark bits: three chunks in turn, each cleared as a whole.
change mheap.go 's/gcBitsChunkBytes = uintptr(64 << 10)/gcBitsChunkBytes = uintptr(8 << 10)/'
# New goroutines get the smallest stack, not one of the average size, which those that end keep.
change runtime1.go 's/debug.adaptivestackstart = 1 /debug.adaptivestackstart = 0 /'

if [ $known = no ]; then
	echo "$runtime is not as in Go 1.26: it is left as it is, and a shim keeps 1 MB more after its first collection" >&2
	replace=
fi
echo "{\"Replace\":{${replace#,}}}" | put overlay.json
