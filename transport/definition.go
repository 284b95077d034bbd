package transport

import (
	"encoding/json"

	"github.com/amends-dev/amends/contract"
)

// DefinitionReply is the reply to APIDefine, and describes one definition in other replies.
type DefinitionReply struct {
	Definition  contract.DefinitionRef `json:"definition"`
	Fingerprint string                 `json:"fingerprint"`
	Existed     bool                   `json:"existed,omitempty"` // of APIDefine: this content was already registered
	Newest      bool                   `json:"newest,omitempty"`  // whether this is the newest version of its name
	Counts      []Count                `json:"counts,omitempty"`  // number of its sagas by phase; not set by APIDefine

	// Duration is how long its sagas took. It covers those that ended since the coordinator
	// started.
	Duration *Latency `json:"duration,omitempty"`

	// Only set by APIDefinition:
	Source  json.RawMessage `json:"source,omitempty"`  // the definition as canonical JSON
	Mermaid string          `json:"mermaid,omitempty"` // a diagram in Mermaid's language
	Steps   []StepFigures   `json:"steps,omitempty"`   // in order; counted since the coordinator started
}

// DefinitionsReply is the reply to APIDefinitions.
type DefinitionsReply struct {
	Definitions []DefinitionReply `json:"definitions"`
}

// CompareQuery selects two definitions.
type CompareQuery struct {
	From     contract.DefinitionRef `json:"from"`                // the old definition
	To       contract.DefinitionRef `json:"to,omitzero"`         // the new definition, if ToSource is empty
	ToSource string                 `json:"to_source,omitempty"` // a new, unregistered definition, as JSON or YAML
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
