package httpapi

import (
	_ "embed" // embeds the document below
	"net/http"
)

// openAPI describes the service in OpenAPI 3.1. It is generated from the proto file.
//
//go:embed openapi.yaml
var openAPI []byte

func document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openAPI)
}
