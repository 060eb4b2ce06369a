package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"os"
)

//go:embed timeline.html
var timeline []byte

// draw writes the run as a page that needs nothing but itself.
func (r *report) draw(file string) error {
	data, err := json.Marshal(r) // it escapes what would end a script
	if err != nil {
		return err
	}
	mark := []byte("{{report}}")
	if !bytes.Contains(timeline, mark) {
		return errors.New("timeline.html has no place for the report")
	}
	return os.WriteFile(file, bytes.Replace(timeline, mark, data, 1), 0o600)
}
