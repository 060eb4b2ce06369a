package sluice

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
)

// FromProperties reads a Java properties file with Kafka's own names into a Config. docs/configuration.md lists them all, with
// the fields they stand for. What they say about producers is in the ProducerConfig that Config.Producer returns.
//
// A property that cannot be had is an error that says why, and what to do instead; other clients' names are answered with
// Kafka's, and unknown ones with the nearest. All mistakes are returned at once, joined, each a *ConfigError with its line, none
// of them with a secret. What a file leaves out is not a mistake: see New.
func FromProperties(in io.Reader) (Config, error) {
	r := &propertyReader{all: make(map[string]property)}
	if err := r.scan(in); err != nil {
		return Config{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.all)) {
		s := settingOf(name)
		if s == nil {
			r.unknown(name)
			continue
		}
		if err := s.apply(&r.cfg, r.all[name].value); err != nil {
			r.refuse(s, err)
		}
	}
	r.security()
	r.compression()
	r.contradictions()
	r.producer()
	slices.SortStableFunc(r.mistakes, func(a, b *ConfigError) int { return cmp.Compare(a.Line, b.Line) })
	if len(r.mistakes) == 0 {
		return r.cfg, nil
	}
	errs := make([]error, len(r.mistakes))
	for i, e := range r.mistakes {
		errs[i] = e
	}
	return Config{}, errors.Join(errs...)
}

// property is one of a file.
type property struct {
	line      int
	value     string
	separated bool // by = or :, so that the name is one
}

// propertyReader collects what the properties say.
type propertyReader struct {
	cfg      Config
	all      map[string]property
	mistakes []*ConfigError
}

func (r *propertyReader) value(name string) string { return r.all[name].value }

// fail tells of a property's mistake, without its value.
func (r *propertyReader) fail(name string, err error) {
	e := &ConfigError{Line: r.all[name].line, Property: name, Problem: err.Error()}
	if s := settingOf(name); s != nil {
		e.Field = s.field
	}
	r.mistakes = append(r.mistakes, e)
}

// refuse tells of a property's mistake, with its value unless that is a secret.
func (r *propertyReader) refuse(s *setting, err error) {
	r.fail(s.name, err)
	if !s.secret() {
		r.mistakes[len(r.mistakes)-1].Value = r.all[s.name].value
	}
}

// unknown tells of a name that is not known. A line that holds no name may be part of a secret, and is not shown.
func (r *propertyReader) unknown(name string) {
	if answer := otherClients(name); answer != "" {
		r.fail(name, errors.New(answer))
		return
	}
	if named(name, r.all[name].separated) {
		r.fail(name, errors.New("not known"+hint(name)))
		return
	}
	r.mistakes = append(r.mistakes, &ConfigError{
		Line: r.all[name].line, Property: notShown,
		Problem: "not the name of a property; does the line before lack a backslash at its end?",
	})
}

// compression refuses the level of a codec that is not the one in use.
func (r *propertyReader) compression() {
	for _, codec := range []Compression{Gzip, LZ4, Zstd} {
		name := "compression." + string(codec) + ".level"
		if _, ok := r.all[name]; ok && r.cfg.producer.Compression != codec {
			r.fail(name, errors.New("has no effect without compression.type="+string(codec)))
		}
	}
}

// together are the producer's properties that contradict each other.
var together = map[string]string{
	"batch.size": "max.request.size", "buffer.memory": "max.request.size", "linger.ms": "delivery.timeout.ms",
}

// producer tells what a producer would say of the file.
func (r *propertyReader) producer() {
	_, err := r.cfg.producer.withDefaults()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		e, _ := errors.AsType[*ConfigError](err)
		if e == nil || given(r, e.Property) == "" || given(r, together[e.Property]) == "" {
			continue // it takes more than the file, or it is told already
		}
		told := *e
		told.Line, told.Value = r.all[e.Property].line, r.all[e.Property].value
		r.mistakes = append(r.mistakes, &told)
	}
}

// contradictions are told when the file itself holds all that contradict each other; what code adds to the Config is seen by
// New.
func (r *propertyReader) contradictions() {
	var m mistakes
	cfg := r.cfg
	checkConfig(&cfg, &m)
	for _, e := range m.all {
		given := func(field string) bool {
			_, ok := r.all[propertyOf(field)]
			return ok
		}
		if len(e.fields) == 1 || slices.ContainsFunc(e.fields, func(f string) bool { return !given(f) }) {
			continue
		}
		told := *e.ConfigError
		told.Line = r.all[e.Property].line
		if s := settingOf(e.Property); s != nil && !s.secret() {
			told.Value = r.all[e.Property].value
		}
		r.mistakes = append(r.mistakes, &told)
	}
}
