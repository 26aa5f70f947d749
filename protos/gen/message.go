package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	reflectPackage = protogen.GoImportPath("google.golang.org/protobuf/reflect/protoreflect")
	wirePackage    = protogen.GoImportPath("google.golang.org/protobuf/encoding/protowire")
)

// file is a file that is being written.
type file struct{ *protogen.GeneratedFile }

func (g *file) enum(e *protogen.Enum) {
	g.P()
	g.doc(e.Comments.Leading)
	g.P("type ", e.GoIdent, " int32")
	g.P()
	g.P("const (")
	for _, v := range e.Values {
		g.P(v.GoIdent, " ", e.GoIdent, " = ", v.Desc.Number())
	}
	g.P(")")
	g.P()
	g.P("// String is the name in the .proto file.")
	g.P("func (x ", e.GoIdent, ") String() string {")
	g.P("switch x {")
	for _, v := range e.Values {
		g.P("case ", v.GoIdent, ": return ", fmt.Sprintf("%q", v.Desc.Name()))
	}
	g.P("}")
	g.P("return ", protogen.GoImportPath("strconv").Ident("Itoa"), "(int(x))")
	g.P("}")
}

// doc carries a comment over.
func (g *file) doc(c protogen.Comments) {
	if text := strings.TrimSuffix(c.String(), "\n"); text != "" {
		g.P(text)
	}
}

func (g *file) message(m *protogen.Message) error {
	var fields []field
	for _, f := range m.Fields {
		t, err := g.field(f)
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Desc.Name(), err)
		}
		fields = append(fields, t)
	}
	g.P()
	g.doc(m.Comments.Leading)
	g.P("type ", m.GoIdent, " struct {")
	for _, f := range fields {
		g.doc(f.Comments.Leading)
		g.P(f.GoName, " ", f.goType, " `json:\"", f.Desc.Name(), ",omitempty\"`")
	}
	g.P("}")
	for _, f := range fields {
		g.getter(m, f)
	}
	x := "(x *" + m.GoIdent.GoName + ") "
	g.P()
	g.P("// Reset empties the message.")
	g.P("func ", x, "Reset() { *x = ", m.GoIdent, "{} }")
	g.P()
	g.P("// ProtoReflect makes the message a proto.Message, for marshalling alone.")
	g.P("func ", x, "ProtoReflect() ", reflectPackage.Ident("Message"), " { return plain{m: x} }")
	g.P()
	g.P("func ", x, "appendWire(b []byte) []byte {")
	for _, f := range fields {
		g.append(f)
	}
	g.P("return b")
	g.P("}")
	g.parser(m, fields)
	return nil
}

func (g *file) getter(m *protogen.Message, f field) {
	g.P()
	g.P("// Get", f.GoName, " is for a message that may be nil.")
	g.P("func (x *", m.GoIdent, ") Get", f.GoName, "() ", f.getType(), " {")
	if f.optional {
		g.P("if x != nil && x.", f.GoName, " != nil { return *x.", f.GoName, " }")
	} else {
		g.P("if x != nil { return x.", f.GoName, " }")
	}
	g.P("return ", f.zero)
	g.P("}")
}

// parser writes the reading of the wire form. Fields that are not known are passed over, as protobuf wants it.
func (g *file) parser(m *protogen.Message, fields []field) {
	g.P()
	g.P("func (x *", m.GoIdent, ") parseWire(b []byte) error {")
	g.P("return eachField(b, func(num ", wirePackage.Ident("Number"), ", v value) (err error) {")
	g.P("switch num {")
	for _, f := range fields {
		g.P("case ", f.Desc.Number(), ":")
		g.parse(f)
	}
	g.P("}")
	g.P("return err")
	g.P("})")
	g.P("}")
}

// field is a message's field with what is known of its type.
type field struct {
	*protogen.Field
	goType   string // in the struct
	kind     string // names its helpers in wire.go
	zero     string
	optional bool
	element  string // the Go type of a message or enum
}

func (f field) getType() string { return strings.TrimPrefix(f.goType, f.star()) }

func (f field) star() string {
	if f.optional {
		return "*"
	}
	return ""
}

func (g *file) field(f *protogen.Field) (field, error) {
	t := field{Field: f, optional: f.Desc.HasOptionalKeyword()}
	switch f.Desc.Kind() {
	case protoreflect.StringKind:
		t.goType, t.kind, t.zero = "string", "String", `""`
	case protoreflect.BytesKind:
		t.goType, t.kind, t.zero = "[]byte", "Bytes", "nil"
	case protoreflect.BoolKind:
		t.goType, t.kind, t.zero = "bool", "Bool", "false"
	case protoreflect.Uint32Kind:
		t.goType, t.kind, t.zero = "uint32", "Uint32", "0"
	case protoreflect.Int32Kind:
		t.goType, t.kind, t.zero = "int32", "Int32", "0"
	case protoreflect.EnumKind:
		t.element = g.QualifiedGoIdent(f.Enum.GoIdent)
		t.goType, t.kind, t.zero = t.element, "Int32", "0"
	case protoreflect.MessageKind:
		return g.messageField(t)
	default:
		return t, fmt.Errorf("kind %s is not known here", f.Desc.Kind())
	}
	switch {
	case f.Desc.IsList():
		t.goType, t.zero = "[]"+t.goType, "nil"
	case t.optional:
		t.goType = "*" + t.goType
	}
	return t, nil
}

func (g *file) messageField(t field) (field, error) {
	if t.Desc.IsMap() {
		if t.Desc.MapKey().Kind() != protoreflect.StringKind || t.Desc.MapValue().Kind() != protoreflect.StringKind {
			return t, fmt.Errorf("a map of other than strings is not known here")
		}
		t.goType, t.kind, t.zero = "map[string]string", "Map", "nil"
		return t, nil
	}
	t.element, t.zero = g.QualifiedGoIdent(t.Message.GoIdent), "nil"
	switch t.Message.Desc.FullName() {
	case "google.protobuf.Any":
		t.kind = "Any"
	case "google.protobuf.Timestamp":
		t.kind = "Timestamp"
	default:
		t.kind = "Message"
	}
	t.goType = "*" + t.element
	if t.Desc.IsList() {
		t.goType = "[]" + t.goType
	}
	return t, nil
}

// append writes the writing of one field. Zero values are left out, as proto3 wants it.
func (g *file) append(f field) {
	num := f.Desc.Number()
	value := "x." + f.GoName
	if f.Desc.Kind() == protoreflect.EnumKind {
		value = "int32(" + value + ")"
	}
	switch {
	case f.Desc.IsList():
		g.P("for _, v := range x.", f.GoName, " {")
		g.P("b = append", f.kind, "Always(b, ", num, ", v)")
		g.P("}")
	case f.optional:
		g.P("if x.", f.GoName, " != nil {")
		g.P("b = append", f.kind, "Always(b, ", num, ", *x.", f.GoName, ")")
		g.P("}")
	case f.kind == "Message":
		g.P("if x.", f.GoName, " != nil {")
		g.P("b = appendMessageAlways(b, ", num, ", x.", f.GoName, ")")
		g.P("}")
	default:
		g.P("b = append", f.kind, "(b, ", num, ", ", value, ")")
	}
}

func (g *file) parse(f field) {
	switch {
	case f.kind == "Map":
		g.P("err = v.mapEntry(&x.", f.GoName, ")")
	case f.kind == "Message" && f.Desc.IsList():
		g.P("m := new(", f.element, ")")
		g.P("x.", f.GoName, " = append(x.", f.GoName, ", m)")
		g.P("err = v.message(m)")
	case f.kind == "Message":
		g.P("if x.", f.GoName, " == nil { x.", f.GoName, " = new(", f.element, ") }")
		g.P("err = v.message(x.", f.GoName, ")")
	case f.kind == "Int32" && f.Desc.IsList():
		g.P("err = v.int32s(&x.", f.GoName, ")")
	case f.Desc.IsList():
		g.P("err = v.", lower(f.kind), "s(&x.", f.GoName, ")")
	case f.optional:
		g.P("x.", f.GoName, " = new(", f.getType(), ")")
		g.P("err = v.", lower(f.kind), "(x.", f.GoName, ")")
	case f.Desc.Kind() == protoreflect.EnumKind:
		g.P("err = v.int32((*int32)(&x.", f.GoName, "))")
	default:
		g.P("err = v.", lower(f.kind), "(&x.", f.GoName, ")")
	}
}

// lower is the name of the helper that reads a kind.
func lower(kind string) string {
	if kind == "Bytes" {
		return "bytesTo" // value has a field of that name
	}
	return strings.ToLower(kind[:1]) + kind[1:]
}
