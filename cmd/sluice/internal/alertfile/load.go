package alertfile

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
	"github.com/sluice-go/sluice/monitor/alert"
)

type field = yamlfile.Field

// reader reads a file of alerts.
type reader struct {
	*yamlfile.Reader

	language *language // of its expressions; nil before the first
	broken   yamlfile.Problems
}

// Load reads a file. The error is of type yamlfile.Problems. broken are the mistakes of single rules, which go on as alerts.
func Load(file string, env yamlfile.Environment) (cfg alert.Config, broken yamlfile.Problems, err error) {
	text, err := yamlfile.Open(file)
	if err != nil {
		return cfg, nil, err
	}
	return Parse(file, text, env)
}

// Parse is Load for a text in memory. Paths in it are relative to the file's folder.
func Parse(file string, text []byte, env yamlfile.Environment) (cfg alert.Config, broken yamlfile.Problems, err error) {
	yaml, root, err := yamlfile.Read(file, text, env)
	if err != nil {
		return cfg, nil, err
	}
	r := &reader{Reader: yaml}
	cfg = r.config(root)
	return cfg, r.broken, r.Err()
}

func (r *reader) config(root field) alert.Config {
	top, _ := r.Object(root, "state", "labels", "receivers", "objectives", "rules", "custom", "silences")
	cfg := alert.Config{Labels: r.labels(top["labels"]), StateFile: r.file(top["state"]), Receivers: r.receivers(top["receivers"])}
	var objectives []alert.Objective
	for _, f := range r.list(top["objectives"]) {
		objectives = append(objectives, r.objective(f))
	}
	cfg.Rules = r.changed(top["rules"], alert.Rules(objectives...))
	for _, f := range r.list(top["custom"]) {
		if rule := r.custom(f); rule.Name != "" {
			cfg.Rules = append(cfg.Rules, rule)
		}
	}
	for _, f := range r.list(top["silences"]) {
		cfg.Silences = append(cfg.Silences, r.silence(f))
	}
	return cfg
}

// list is the elements of a list.
func (r *reader) list(f field) (all []field) {
	if !f.Present() {
		return nil
	}
	if f.Node.Kind != yaml.SequenceNode {
		r.Badf(f, "a list is expected, with a - before each element")
		return nil
	}
	for i, n := range f.Node.Content {
		all = append(all, field{Path: f.Path + "[" + strconv.Itoa(i) + "]", Node: yamlfile.Resolve(n)})
	}
	return all
}

// file is a path, relative to the file's folder.
func (r *reader) file(f field) string {
	path := r.Text(f)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(r.File), path)
}

// labels is a mapping of names to texts.
func (r *reader) labels(f field) map[string]string {
	fields, names := r.Object(f)
	if len(names) == 0 {
		return nil
	}
	all := make(map[string]string, len(names))
	for _, name := range names {
		all[name] = r.Text(fields[name])
		if problem := alert.CheckLabel(name); problem != "" {
			r.Badf(field{Path: fields[name].Path, Node: fields[name].At}, "%s", problem)
		}
	}
	return all
}

// matchers is a mapping of labels to patterns.
func (r *reader) matchers(f field) (all []alert.Matcher) {
	fields, names := r.Object(f)
	for _, name := range names {
		all = append(all, alert.Matcher{Label: name, Pattern: r.Text(fields[name])})
	}
	return all
}

// lasting is a duration that may be 0, which the Go field calls -1. It is 0 where the field is not there.
func (r *reader) lasting(f field) time.Duration {
	if f.Present() && f.Node.Kind == yaml.ScalarNode && (f.Node.Value == "0" || f.Node.Value == "0s") {
		return -1
	}
	return r.Duration(f)
}

// spanOrNone is a duration, or none, which is -1.
func (r *reader) spanOrNone(f field) time.Duration {
	if f.Present() && f.Node.Kind == yaml.ScalarNode && f.Node.Value == "none" {
		return -1
	}
	return r.Duration(f)
}

func (r *reader) objective(f field) alert.Objective {
	o, _ := r.Object(f, "group", "topic", "time_lag", "for", "severity")
	r.Require(o["time_lag"], "say how old the oldest record may be that is not handled, as in 1m, or none")
	return alert.Objective{
		Group: r.Text(o["group"]), Topic: r.Text(o["topic"]), TimeLag: r.spanOrNone(o["time_lag"]), For: r.lasting(o["for"]),
		Severity: r.Text(o["severity"]),
	}
}

// changed are the rules that are built in, as the file wants them.
func (r *reader) changed(f field, rules []alert.Rule) []alert.Rule {
	var known []string
	for _, rule := range rules {
		if !slices.Contains(known, rule.Name) {
			known = append(known, rule.Name)
		}
	}
	if !slices.Contains(known, timeLag) { // every objective is none
		known = append(known, timeLag)
	}
	fields, names := r.Object(f, known...)
	for _, name := range names {
		change, _ := r.Object(fields[name], "off", "for", "keep_firing", "severity")
		if name == timeLag {
			for _, key := range []string{"for", "severity"} {
				if change[key].Present() {
					r.Badf(change[key], "belongs to an objective: objectives: [{time_lag: 5m, %s: …}]", key)
				}
			}
		}
		if r.Boolean(change["off"]) {
			rules = slices.DeleteFunc(rules, func(rule alert.Rule) bool { return rule.Name == name })
			continue
		}
		hold, keep, severity := r.lasting(change["for"]), r.lasting(change["keep_firing"]), r.Text(change["severity"])
		for i := range rules {
			if rule := &rules[i]; rule.Name == name {
				rule.For = max(cmp.Or(hold, rule.For), 0)
				rule.KeepFiring, rule.Severity = cmp.Or(keep, rule.KeepFiring), cmp.Or(severity, rule.Severity)
			}
		}
	}
	return rules
}

const timeLag = "GroupTimeLag"

func (r *reader) silence(f field) alert.Silence {
	s, _ := r.Object(f, "match", "until", "comment")
	r.Require(s["match"], "say which alerts: match: {group: test-*}")
	r.Require(s["until"], "say when it ends, as in 2026-01-31T08:00:00Z")
	match := r.matchers(s["match"])
	if s["match"].Present() && s["match"].Node.Kind == yaml.MappingNode && len(match) == 0 {
		r.Badf(s["match"], "nothing in it: it would silence everything")
	}
	var until time.Time
	if text, ok := r.Scalar(s["until"], "a time as in 2026-01-31T08:00:00Z"); ok {
		var err error
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			r.Badf(s["until"], "%s is no time as in 2026-01-31T08:00:00Z", yamlfile.Quote(s["until"].Node))
		}
	}
	return alert.Silence{Match: match, Until: until, Comment: r.Text(s["comment"])}
}

func nameless(kind string, i int) string { return fmt.Sprintf("%s-%d", kind, i+1) }
