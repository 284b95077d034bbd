package main

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"go.yaml.in/yaml/v3"
)

// output is the name of the document in the plugin's directory.
const output = "openapi.yaml"

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
		p.SupportedEditionsMinimum = descriptorpb.Edition_EDITION_2023
		p.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_2023
		for _, f := range p.Files {
			if !f.Generate || len(f.Services) == 0 {
				continue
			}
			text, err := document(f)
			if err != nil {
				return err
			}
			out := p.NewGeneratedFile(output, "")
			if _, err := out.Write(text); err != nil {
				return err
			}
		}
		return nil
	})
}

// document describes the service of a file.
func document(f *protogen.File) ([]byte, error) {
	service := f.Services[0]
	paths, tags := mapping(), mapping()
	tags.put("name", text(string(service.Desc.Name()))).put("description", text(prose(service.Comments.Leading)))
	d := &schemas{known: mapping(), seen: map[string]bool{}}
	for _, m := range service.Methods {
		path, err := d.path(service, m)
		if err != nil {
			return nil, err
		}
		paths.put(fmt.Sprintf("/%s/%s", service.Desc.FullName(), m.Desc.Name()), path)
	}
	if err := d.extras(f); err != nil {
		return nil, err
	}
	root := mapping()
	root.put("openapi", text("3.1.0"))
	root.put("info", mapping().
		put("title", text("Amends coordinator")).
		put("version", text(string(f.Desc.Package().Name()))).
		put("description", text(lines(f.Desc.ParentFile().SourceLocations().ByPath([]int32{12}).LeadingComments))))
	root.put("tags", sequence(tags))
	root.put("paths", paths)
	root.put("components", mapping().put("schemas", d.known))
	body, err := yaml.Marshal((*yaml.Node)(root))
	if err != nil {
		return nil, err
	}
	return append([]byte("# Generated from "+f.Desc.Path()+" by internal/tool/openapi; do not edit. Fix: go generate ./proto\n"), body...), nil
}
