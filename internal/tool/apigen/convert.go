package main

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// writeConversions writes the conversions of a message to and from its Go type. nil is converted to
// nil.
func writeConversions(g *protogen.GeneratedFile, m *protogen.Message, fields []field) {
	pb, value := g.QualifiedGoIdent(m.GoIdent), g.QualifiedGoIdent(goType(string(m.Desc.Name())))
	name := lower(m.GoIdent.GoName)
	g.P("func ", name, "To(v *", value, ") *", pb, " {")
	if embedded[string(m.Desc.Name())] {
		g.P("\tif v == nil || isZero(v) {")
	} else {
		g.P("\tif v == nil {")
	}
	g.P("\t\treturn nil")
	g.P("\t}")
	g.P("\treturn &", pb, "{")
	for i := range fields {
		g.P("\t\t", fields[i].GoName, ": ", fields[i].to(), ",")
	}
	g.P("\t}")
	g.P("}")
	g.P()
	g.P("func ", name, "From(m *", pb, ") *", value, " {")
	g.P("\tif m == nil {")
	g.P("\t\treturn nil")
	g.P("\t}")
	g.P("\treturn &", value, "{")
	for i := range fields {
		g.P("\t\t", fields[i].goName(), ": ", fields[i].from(g), ",")
	}
	g.P("\t}")
	g.P("}")
	g.P()
}

func lower(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// to returns the expression that converts the field of a Go value v to the message's type.
func (f *field) to() string {
	x := "v." + f.goName()
	list := f.Desc.IsList()
	switch {
	case f.kind == word && list:
		return "texts(" + x + ")"
	case f.kind == word:
		return "valid(string(" + x + "))"
	case f.kind == inline:
		return "valid(string(" + x + "))"
	case f.kind == birth:
		return "birthTo(" + x + ")"
	case f.kind == number:
		return f.Desc.Kind().String() + "(" + x + ")"
	case f.kind == moment:
		return "momentTo(" + x + ")"
	case f.kind == optional:
		return "optionalTo(" + x + ")"
	case f.kind == duration:
		return "durationTo(" + x + ")"
	case f.kind == message && list:
		return "each(" + x + ", " + lower(f.Message.GoIdent.GoName) + "To)"
	case f.kind == message && f.value():
		return lower(f.Message.GoIdent.GoName) + "To(&" + x + ")"
	case f.kind == message:
		return lower(f.Message.GoIdent.GoName) + "To(" + x + ")"
	case f.basic == "string" && list:
		return "texts(" + x + ")"
	case f.basic == "string":
		return "valid(" + x + ")"
	}
	return x
}

// from returns the expression that converts the field of a message m to its Go type.
func (f *field) from(g *protogen.GeneratedFile) string {
	x := "m." + f.GoName
	list := f.Desc.IsList()
	switch {
	case f.kind == word && list:
		return "words[" + g.QualifiedGoIdent(f.ident) + "](" + x + ")"
	case f.kind == word:
		return g.QualifiedGoIdent(f.ident) + "(" + x + ")"
	case f.kind == inline:
		return "raw(" + x + ")"
	case f.kind == birth:
		return "birthFrom(" + x + ")"
	case f.kind == number:
		return "int(" + x + ")"
	case f.kind == moment:
		return "momentFrom(" + x + ")"
	case f.kind == optional:
		return "optionalFrom(" + x + ")"
	case f.kind == duration:
		return "durationFrom(" + x + ")"
	case f.kind == message && list:
		return "values(" + x + ", " + lower(f.Message.GoIdent.GoName) + "From)"
	case f.kind == message && f.value():
		return "orZero(" + lower(f.Message.GoIdent.GoName) + "From(" + x + "))"
	case f.kind == message:
		return lower(f.Message.GoIdent.GoName) + "From(" + x + ")"
	}
	return x
}

// writeSwitch writes the functions Message and Value, which convert any request or response.
func writeSwitch(g *protogen.GeneratedFile, f *protogen.File) {
	protoMessage := g.QualifiedGoIdent(protogen.GoIdent{GoImportPath: "google.golang.org/protobuf/proto", GoName: "Message"})
	g.P("// Message converts a pointer to a type of package api to its message. It returns nil for other types.")
	g.P("func Message(v any) ", protoMessage, " {")
	g.P("\tswitch v := v.(type) {")
	for _, m := range f.Messages {
		g.P("\tcase *", g.QualifiedGoIdent(goType(string(m.Desc.Name()))), ":")
		g.P("\t\treturn ", lower(m.GoIdent.GoName), "To(v)")
	}
	g.P("\t}")
	g.P("\treturn nil")
	g.P("}")
	g.P()
	g.P("// Value converts a message to a pointer to its type in package api. It returns nil for other messages.")
	g.P("func Value(m ", protoMessage, ") any {")
	g.P("\tswitch m := m.(type) {")
	for _, m := range f.Messages {
		g.P("\tcase *", g.QualifiedGoIdent(m.GoIdent), ":")
		g.P("\t\treturn ", lower(m.GoIdent.GoName), "From(m)")
	}
	g.P("\t}")
	g.P("\treturn nil")
	g.P("}")
}
