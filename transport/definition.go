package transport

import (
	"encoding/json"

	"github.com/amends-dev/amends/contract"
)

// DefinitionReply answers APIDefine.
type DefinitionReply struct {
	Definition  contract.DefinitionRef `json:"definition"`
	Fingerprint string                 `json:"fingerprint"`
	Existed     bool                   `json:"existed,omitempty"` // of APIDefine: it was there already, with the same content
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

// CompareQuery names two definitions.
type CompareQuery struct {
	From     contract.DefinitionRef `json:"from"`                // the one before
	To       contract.DefinitionRef `json:"to,omitzero"`         // the one behind, or
	ToSource string                 `json:"to_source,omitempty"` // one that is not registered, as JSON or YAML
}

// CompareReply is what differs, in the order of the definition.
type CompareReply struct {
	Differences []Difference `json:"differences"`
}

// Difference is one thing that differs between two definitions.
type Difference struct {
	Path   string `json:"path"`           // such as steps/charge-card/do/timeout
	Change string `json:"change"`         // added, removed, changed or moved
	From   string `json:"from,omitempty"` // what stood there before
	To     string `json:"to,omitempty"`   // what stands there now
}
