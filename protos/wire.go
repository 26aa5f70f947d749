package protos

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// message is what the generated code gives each message.
type message interface {
	protoreflect.ProtoMessage
	appendWire([]byte) []byte
	parseWire([]byte) error
}

// plain lets package proto marshal a message that has no descriptor: it offers the fast path (protoiface.Methods) and nothing else. What needs reflection,
// such as proto.Equal, proto.Clone or prototext, does not work on these messages.
type plain struct {
	protoreflect.Message
	m message
}

// IsValid is asked of a message that marshals to nothing.
func (p plain) IsValid() bool { return true }

// Interface is the way back.
func (p plain) Interface() protoreflect.ProtoMessage { return p.m }

// ProtoMethods is the fast path.
func (p plain) ProtoMethods() *protoiface.Methods {
	return &protoiface.Methods{Size: size, Marshal: marshal, Unmarshal: unmarshal, CheckInitialized: checkInitialized}
}

func size(in protoiface.SizeInput) protoiface.SizeOutput {
	return protoiface.SizeOutput{Size: len(in.Message.(plain).m.appendWire(nil))}
}

func marshal(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
	return protoiface.MarshalOutput{Buf: in.Message.(plain).m.appendWire(in.Buf)}, nil
}

func unmarshal(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
	return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, in.Message.(plain).m.parseWire(in.Buf)
}

func checkInitialized(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
	return protoiface.CheckInitializedOutput{}, nil
}

func appendString(b []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return appendStringAlways(b, num, v)
}

func appendStringAlways(b []byte, num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	return appendVarint(b, num, protowire.EncodeBool(v))
}

func appendUint32(b []byte, num protowire.Number, v uint32) []byte {
	return appendVarint(b, num, uint64(v))
}

func appendInt32(b []byte, num protowire.Number, v int32) []byte {
	return appendVarint(b, num, uint64(int64(v)))
}

func appendInt32Always(b []byte, num protowire.Number, v int32) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(int64(v)))
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendMessageAlways(b []byte, num protowire.Number, m message) []byte {
	return appendBytesAlways(b, num, m.appendWire(nil))
}

func appendBytesAlways(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// appendAny writes a google.protobuf.Any.
func appendAny(b []byte, num protowire.Number, v *anypb.Any) []byte {
	if v == nil {
		return b
	}
	return appendBytesAlways(b, num, appendBytes(appendString(nil, 1, v.TypeUrl), 2, v.Value))
}

// appendTimestamp writes a google.protobuf.Timestamp.
func appendTimestamp(b []byte, num protowire.Number, v *timestamppb.Timestamp) []byte {
	if v == nil {
		return b
	}
	return appendBytesAlways(b, num, appendInt32(appendVarint(nil, 1, uint64(v.Seconds)), 2, v.Nanos))
}

func appendMap(b []byte, num protowire.Number, m map[string]string) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b = appendBytesAlways(b, num, appendString(appendString(nil, 1, k), 2, m[k]))
	}
	return b
}

// value is a field's value as it came.
type value struct {
	typ    protowire.Type
	number uint64 // VarintType
	bytes  []byte // BytesType; borrowed
}

// Errors of parsing.
var (
	errType = errors.New("field has another wire type")
	errUTF8 = errors.New("string is not UTF-8")
)

func malformed(n int) error { return fmt.Errorf("malformed protobuf: %w", protowire.ParseError(n)) }

// eachField calls f for every field of a message that is a number or bytes. Others do not occur in our messages, and are passed over.
func eachField(b []byte, f func(protowire.Number, value) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed(n)
		}
		b = b[n:]
		v := value{typ: typ}
		switch typ {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return malformed(n)
		}
		b = b[n:]
		if typ != protowire.VarintType && typ != protowire.BytesType {
			continue
		}
		if err := f(num, v); err != nil {
			return fmt.Errorf("field %d: %w", num, err)
		}
	}
	return nil
}

func (v value) expect(typ protowire.Type) error {
	if v.typ != typ {
		return errType
	}
	return nil
}

func (v value) string(to *string) error {
	if err := v.expect(protowire.BytesType); err != nil {
		return err
	}
	if !utf8.Valid(v.bytes) {
		return errUTF8
	}
	*to = string(v.bytes)
	return nil
}

func (v value) strings(to *[]string) error {
	var s string
	err := v.string(&s)
	*to = append(*to, s)
	return err
}

func (v value) bool(to *bool) error {
	*to = v.number != 0
	return v.expect(protowire.VarintType)
}

func (v value) uint32(to *uint32) error {
	*to = uint32(v.number)
	return v.expect(protowire.VarintType)
}

func (v value) int32(to *int32) error {
	*to = int32(v.number)
	return v.expect(protowire.VarintType)
}

// int32s takes one number, or many packed into bytes.
func (v value) int32s(to *[]int32) error {
	if v.typ == protowire.VarintType {
		*to = append(*to, int32(v.number))
		return nil
	}
	for b := v.bytes; len(b) > 0; {
		number, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return malformed(n)
		}
		*to = append(*to, int32(number))
		b = b[n:]
	}
	return nil
}

func (v value) message(m message) error {
	if err := v.expect(protowire.BytesType); err != nil {
		return err
	}
	return m.parseWire(v.bytes)
}

func (v value) any(to **anypb.Any) error {
	if err := v.expect(protowire.BytesType); err != nil {
		return err
	}
	if *to == nil {
		*to = new(anypb.Any)
	}
	return eachField(v.bytes, func(num protowire.Number, f value) error {
		switch num {
		case 1:
			return f.string(&(*to).TypeUrl)
		case 2:
			return f.bytesTo(&(*to).Value)
		}
		return nil
	})
}

// raw copies: what came is in a buffer that is used again.
func (v value) bytesTo(to *[]byte) error {
	if err := v.expect(protowire.BytesType); err != nil {
		return err
	}
	*to = append([]byte{}, v.bytes...)
	return nil
}

func (v value) timestamp(to **timestamppb.Timestamp) error {
	if err := v.expect(protowire.BytesType); err != nil {
		return err
	}
	if *to == nil {
		*to = new(timestamppb.Timestamp)
	}
	return eachField(v.bytes, func(num protowire.Number, f value) error {
		switch num {
		case 1:
			(*to).Seconds = int64(f.number)
			return f.expect(protowire.VarintType)
		case 2:
			return f.int32(&(*to).Nanos)
		}
		return nil
	})
}

func (v value) mapEntry(to *map[string]string) error {
	if err := v.expect(protowire.BytesType); err != nil {
		return err
	}
	var key, val string
	err := eachField(v.bytes, func(num protowire.Number, f value) error {
		switch num {
		case 1:
			return f.string(&key)
		case 2:
			return f.string(&val)
		}
		return nil
	})
	if *to == nil {
		*to = make(map[string]string)
	}
	(*to)[key] = val
	return err
}
