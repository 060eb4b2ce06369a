package sluice

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one of Kafka's properties, or a field of ours that has none. The table of them checks Config, reads properties
// files and is docs/configuration.md.
type setting struct {
	name  string // Kafka's; empty where a field of ours has none
	of    client
	kind  kind
	kafka string // Kafka's default; empty where it has none

	field string // ours; empty where it is not settable
	ours  string // our default, where it is no number
	note  string // what differs from Kafka's meaning

	// One of these says what a value does. With none, it is one of those that only mean something together: see
	// properties_security.go.
	number  *number
	set     func(*Config, string) error
	refused string   // why, and what to do instead; follows "refused because"
	accept  []string // values that are not refused, as they say what is done anyway
}

// client says whose setting it is.
type client int

const (
	consumer client = 1 << iota
	producer
	common = consumer | producer
)

// kind is what a value looks like, with its unit.
type kind string

const (
	aBoolean     kind = "true or false"
	aClass       kind = "class"
	aCount       kind = "number"
	aList        kind = "list"
	aSecret      kind = "secret"
	aText        kind = "text"
	bytes        kind = "bytes"
	milliseconds kind = "ms"
	seconds      kind = "s"
)

// number is a setting that is a number of nanoseconds, bytes or records in a field of ours.
type number struct {
	at        func(*Config) any // *time.Duration, *int, *int32 or *int64
	unset     int64             // what the field's zero stands for
	low, high int64             // what is accepted
	off       bool              // the field's -1 is accepted: none
	zero      string            // the property's value for the field's zero
	why       string            // why not beyond, or what else to do
}

// settings are all of them.
var settings = slices.Concat(commonSettings, consumerSettings, producerSettings, securitySettings, fieldSettings)

const (
	longestOnWire = math.MaxInt32 * time.Millisecond // Kafka's requests carry milliseconds as int32
	largestBuffer = 1 << 30
)

// settingOf finds a property by its name.
func settingOf(name string) *setting {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if name == "" || i < 0 {
		return nil
	}
	return &settings[i]
}

// settable says whether a property can be given here.
func settable(name string) bool {
	s := settingOf(name)
	return s != nil && s.refused == ""
}

// propertyOf is Kafka's name for a field; empty where it has none.
func propertyOf(field string) string {
	field, _, _ = strings.Cut(field, "[")
	i := slices.IndexFunc(settings, func(s setting) bool { return s.field == field })
	if i < 0 {
		return ""
	}
	return settings[i].name
}

// secret says whether a value must not be shown.
func (s *setting) secret() bool { return s.kind == aSecret }

// apply puts a property's value into a configuration.
func (s *setting) apply(cfg *Config, value string) error {
	switch {
	case s.number != nil:
		return s.parse(cfg, value)
	case slices.ContainsFunc(s.accept, func(a string) bool { return strings.EqualFold(a, value) }):
		return nil
	case s.refused != "":
		return errors.New("refused because " + s.refused)
	case s.set != nil:
		return s.set(cfg, value)
	}
	return nil
}

// parse puts a property's number into its field.
func (s *setting) parse(cfg *Config, value string) error {
	n := s.number
	if value != "" && value == n.zero {
		return nil
	}
	v, err := strconv.ParseInt(value, 10, 64)
	if err != nil || v > math.MaxInt64/s.unit() || v < math.MinInt64/s.unit() || !n.accepts(v*s.unit()) {
		return errors.New(s.acceptedProperty())
	}
	n.put(cfg, v*s.unit())
	return nil
}

// unit is what one of the property's units is in the field.
func (s *setting) unit() int64 {
	if s.kind == milliseconds {
		return int64(time.Millisecond)
	}
	return 1
}

// acceptedProperty says what a property may be, in the property's own unit.
func (s *setting) acceptedProperty() string {
	n := s.number
	text := fmt.Sprintf("accepted are whole numbers from %d to %d", n.low/s.unit(), n.high/s.unit())
	if s.kind == milliseconds {
		text += ", in milliseconds"
	}
	if s.kind == bytes {
		text += ", in bytes"
	}
	if n.zero != "" {
		text += ", or " + n.zero + " to leave it to the default"
	}
	return text + n.because()
}

// acceptedField says the same of the field.
func (s *setting) acceptedField() string {
	n := s.number
	text := fmt.Sprintf("accepted are %s to %s", s.exact(n.low), s.exact(n.high))
	if s.kind == bytes {
		text += " bytes"
	}
	text += ", or 0 for the default"
	if n.unset != 0 {
		text += ", " + s.exact(n.unset)
	}
	if n.off {
		text += ", or -1 for none"
	}
	return text + n.because()
}

func (n *number) because() string {
	if n.why == "" {
		return ""
	}
	return "; " + n.why
}

// exact is a number of the field's as Go would print it.
func (s *setting) exact(v int64) string {
	if s.kind == milliseconds {
		return shortDuration(time.Duration(v))
	}
	return strconv.FormatInt(v, 10)
}

// shortDuration prints 10m where Go prints 10m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// check judges the field's value, and puts the default in the place of zero.
func (s *setting) check(cfg *Config, m *mistakes) {
	n := s.number
	switch v := n.get(cfg); {
	case v == 0 || v == -1 && n.off:
	case !n.accepts(v):
		m.add(s.field, s.exact(v), s.acceptedField())
		n.put(cfg, 0)
	}
	if n.get(cfg) == 0 {
		n.put(cfg, n.unset)
	}
}

func (n *number) accepts(v int64) bool { return n.low <= v && v <= n.high }

func (n *number) get(cfg *Config) int64 {
	switch p := n.at(cfg).(type) {
	case *time.Duration:
		return int64(*p)
	case *int:
		return int64(*p)
	case *int32:
		return int64(*p)
	case *int64:
		return *p
	}
	return 0
}

func (n *number) put(cfg *Config, v int64) {
	switch p := n.at(cfg).(type) {
	case *time.Duration:
		*p = time.Duration(v)
	case *int:
		*p = int(v)
	case *int32:
		*p = int32(v) // accepts has seen it
	case *int64:
		*p = v
	}
}

// setText puts a value as it is.
func setText(at func(*Config) *string) func(*Config, string) error {
	return func(cfg *Config, value string) error { *at(cfg) = value; return nil }
}

// oneOf says what would have been accepted.
func oneOf(value string, accepted ...string) error {
	return fmt.Errorf("%q is none of %s", value, strings.Join(accepted, ", "))
}
