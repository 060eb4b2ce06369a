package sluice

import (
	"errors"
	"fmt"
	"strings"
)

// ErrConfig is wrapped by every error about a Config, a ProducerConfig, a Route or a properties file.
var ErrConfig = errors.New("invalid configuration")

// ConfigError is one mistake in a configuration. FromProperties, New, Add and NewProducer return all they find, joined.
type ConfigError struct {
	// Line is the line of the properties file, from 1; 0 where there is none.
	Line int

	// Property is Kafka's name of the setting, "fetch.max.bytes"; empty where it has none.
	Property string

	// Field is the field that stands for it, "Fetch.MaxBytes" or "Policy.Workers"; empty where none does.
	Field string

	// Value is what was given, never a secret; empty where nothing was.
	Value string

	// Problem says what is wrong, what is accepted, and what to do instead.
	Problem string
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	name := e.Property
	switch {
	case name == "":
		name = e.Field
	case e.Field != "":
		name += " (" + e.Field + ")"
	}
	b.WriteString(name)
	if e.Value != "" {
		fmt.Fprintf(&b, ": %q", e.Value)
	}
	return b.String() + ": " + e.Problem
}

// Is makes every ConfigError an ErrConfig.
func (e *ConfigError) Is(target error) bool { return target == ErrConfig }
