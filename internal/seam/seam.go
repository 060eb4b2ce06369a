// Package seam lets sluicetest see an App as its engine does, without a word in the public API.
package seam

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// EngineConfig is what an *sluice.App configures its engine with, for an app that does not run. What it would write, dead letters,
// goes to write, which calls done. Package sluice sets it.
var EngineConfig func(app any, write func(r *kgo.Record, done func(error))) engine.Config
