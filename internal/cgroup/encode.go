package cgroup

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// encoder appends fields of protobuf messages. As proto3 wants it, a zero field is not written; an empty message is.
type encoder struct{ out []byte }

func (e *encoder) uint(field protowire.Number, v uint64) {
	if v == 0 {
		return
	}
	e.out = protowire.AppendTag(e.out, field, protowire.VarintType)
	e.out = protowire.AppendVarint(e.out, v)
}

// uints writes values, whose index is their field's number, from the first field on.
func (e *encoder) uints(values []uint64) {
	for field, v := range values {
		e.uint(protowire.Number(field), v)
	}
}

func (e *encoder) double(field protowire.Number, v float64) {
	if v == 0 {
		return
	}
	e.out = protowire.AppendTag(e.out, field, protowire.Fixed64Type)
	e.out = protowire.AppendFixed64(e.out, math.Float64bits(v))
}

func (e *encoder) text(field protowire.Number, prefix, s string) {
	if prefix == "" && s == "" {
		return
	}
	e.out = protowire.AppendTag(e.out, field, protowire.BytesType)
	e.out = protowire.AppendVarint(e.out, uint64(len(prefix)+len(s)))
	e.out = append(append(e.out, prefix...), s...)
}

// begin opens a message, or a list of packed numbers, and returns what end wants to know.
func (e *encoder) begin(field protowire.Number) (start int) {
	e.out = protowire.AppendTag(e.out, field, protowire.BytesType)
	e.out = append(e.out, 0) // its length, if that is below 128
	return len(e.out)
}

// end writes the length of what began at start, and moves that on if the length needs more than one byte.
func (e *encoder) end(start int) {
	size := len(e.out) - start
	extra := protowire.SizeVarint(uint64(size)) - 1
	for range extra {
		e.out = append(e.out, 0)
	}
	copy(e.out[start+extra:], e.out[start:start+size])
	protowire.AppendVarint(e.out[:start-1], uint64(size))
}

// message writes a message whose fields are all numbers, at values' indices.
func (e *encoder) message(field protowire.Number, values []uint64) {
	start := e.begin(field)
	e.uints(values)
	e.end(start)
}
