package view

import (
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

// JSON writes one object.
func (s Snapshot) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(s)
}

// YAML writes the same as YAML.
func (s Snapshot) YAML(w io.Writer) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil { // JSON is YAML
		return fmt.Errorf("write YAML: %w", err)
	}
	block(&node)
	out, err := yaml.Marshal(&node)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	_, err = w.Write(out)
	return err
}

// block has a value written as people write YAML.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}
