package sluice

import (
	"errors"
	"slices"
)

// mistakes collects what is wrong with a configuration.
type mistakes struct{ all []mistake }

// mistake is an error with the fields that it is about: several where they contradict each other.
type mistake struct {
	*ConfigError

	fields []string
}

// add notes a mistake in a field. With others, it is that field's contradiction to them; it is left out when one of them has a
// mistake of its own.
func (m *mistakes) add(field, value, problem string, others ...string) {
	if len(others) > 0 && slices.ContainsFunc(append(others, field), m.about) {
		return
	}
	m.all = append(m.all, mistake{
		ConfigError: &ConfigError{Property: propertyOf(field), Field: field, Value: value, Problem: problem},
		fields:      append([]string{field}, others...),
	})
}

// notTogether notes a field's contradiction to GroupProtocol, which several fields may contradict at once.
func (m *mistakes) notTogether(field, value, problem string) {
	m.all = append(m.all, mistake{
		ConfigError: &ConfigError{Property: propertyOf(field), Field: field, Value: value, Problem: problem},
		fields:      []string{field, "GroupProtocol"},
	})
}

// about says whether a field has a mistake already.
func (m *mistakes) about(field string) bool {
	return slices.ContainsFunc(m.all, func(e mistake) bool { return slices.Contains(e.fields, field) })
}

// err joins them; nil where there is none.
func (m *mistakes) err() error {
	errs := make([]error, len(m.all))
	for i, e := range m.all {
		errs[i] = e.ConfigError
	}
	return errors.Join(errs...)
}
