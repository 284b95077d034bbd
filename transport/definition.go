package transport

import (
	"encoding/json"

	"github.com/amends-dev/amends/contract"
)

// DefinitionReply answers APIDefine.
type DefinitionReply struct {
	Definition  contract.DefinitionRef `json:"definition"`
	Fingerprint string                 `json:"fingerprint"`
	Existed     bool                   `json:"existed,omitempty"` // of APIDefine: it was already registered with the same content
	Newest      bool                   `json:"newest,omitempty"`  // the newest version of its name
	Counts      []Count                `json:"counts,omitempty"`  // of its sagas, by phase; not of APIDefine

	// How long its sagas took, of those that ended since the coordinator started.
	Duration *Latency `json:"duration,omitempty"`

	// Of APIDefinition only.
	Source  json.RawMessage `json:"source,omitempty"`  // its canonical JSON
	Mermaid string          `json:"mermaid,omitempty"` // a diagram in Mermaid's language
	Steps   []StepFigures   `json:"steps,omitempty"`   // in order; since the coordinator started
}

// DefinitionsReply answers APIDefinitions.
type DefinitionsReply struct {
	Definitions []DefinitionReply `json:"definitions"`
}

// CompareQuery selects two definitions.
type CompareQuery struct {
	From     contract.DefinitionRef `json:"from"`                // the old one
	To       contract.DefinitionRef `json:"to,omitzero"`         // the new one, or
	ToSource string                 `json:"to_source,omitempty"` // a new one that is not registered, as JSON or YAML
}

// CompareReply lists the differences, in the order of the definition.
type CompareReply struct {
	Differences []Difference `json:"differences"`
}

// Difference is one difference between two definitions.
type Difference struct {
	Path   string `json:"path"`           // such as steps/charge-card/do/timeout
	Change string `json:"change"`         // added, removed, changed or moved
	From   string `json:"from,omitempty"` // the old value
	To     string `json:"to,omitempty"`   // the new value
}
