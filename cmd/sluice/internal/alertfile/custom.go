package alertfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
)

// custom is a rule of the user's own: a condition on each partition of each group.
func (r *reader) custom(f field) alert.Rule {
	c, _ := r.Object(f, "name", "when", "for", "keep_firing", "severity", "summary", "action", "labels")
	r.Require(c["name"], "name the alert")
	r.Require(c["when"], "say when it fires, as in: lag > 100000 && group.startsWith(\"etl\")")
	rule := alert.Rule{
		Name: r.Text(c["name"]), For: max(r.lasting(c["for"]), 0), KeepFiring: r.lasting(c["keep_firing"]), Severity: r.Text(c["severity"]),
		Action: r.Text(c["action"]), Labels: r.labels(c["labels"]),
	}
	if rule.Name != "" && !alert.IsName(rule.Name) {
		r.Badf(c["name"], "%s: letters, digits and underscores, not a digit first", yamlfile.Quote(c["name"].Node))
	}
	if alert.IsBuiltIn(rule.Name) {
		r.Badf(c["name"], "%q is the name of a rule that is built in; rules: {%s: …} changes it", rule.Name, rule.Name)
	}
	summary := r.Text(c["summary"])
	before := len(r.Problems())
	text := r.Verbatim(c["when"])
	if !c["when"].Present() || len(r.Problems()) > before {
		return alert.Rule{}
	}
	condition, broken := r.compile(c["when"], text)
	if broken != nil {
		r.broken = append(r.broken, broken...)
		rule.Find = func(*monitor.Snapshot) ([]alert.Finding, error) { return nil, broken }
		return rule
	}
	rule.Find = alert.Where(cmp.Or(summary, text), condition)
	return rule
}

// language compiles conditions on a partition of a group.
type language struct{ env *cel.Env }

// variables are what a condition may ask about, and what it is of a row.
var variables = []struct {
	name string
	kind *cel.Type
	of   func(*monitor.Group, *monitor.Partition) any
}{
	{"group", cel.StringType, func(g *monitor.Group, _ *monitor.Partition) any { return g.ID }},
	{"topic", cel.StringType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Topic }},
	{"partition", cel.IntType, func(_ *monitor.Group, p *monitor.Partition) any { return int64(p.Partition) }},
	{"status", cel.StringType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Status.String() }},
	{"state", cel.StringType, func(g *monitor.Group, _ *monitor.Partition) any { return g.State }},
	{"type", cel.StringType, func(g *monitor.Group, _ *monitor.Partition) any { return g.Type }},
	{"members", cel.IntType, func(g *monitor.Group, _ *monitor.Partition) any { return int64(len(g.Members)) }},
	{"lag", cel.IntType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Lag }},
	{"time_lag", cel.DurationType, func(_ *monitor.Group, p *monitor.Partition) any { return p.TimeLag.Behind }},
	{"drain", cel.DurationType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Drain }},
	{"stands", cel.DurationType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Stands }},
	{"lost", cel.IntType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Lost }},
	{"commit", cel.IntType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Commit }},
	{"log_start", cel.IntType, func(_ *monitor.Group, p *monitor.Partition) any { return p.Start }},
	{"log_end", cel.IntType, func(_ *monitor.Group, p *monitor.Partition) any { return p.End }},
}

func newLanguage() (*language, error) {
	options := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	}
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.kind))
	}
	env, err := cel.NewEnv(options...)
	return &language{env}, err
}

// maxCost bounds the steps of one evaluation: there may be a million rows.
const maxCost = 10_000

// compile makes a condition of an expression, or says where in the file it is wrong.
func (r *reader) compile(f field, text string) (func(*monitor.Group, *monitor.Partition) (bool, error), yamlfile.Problems) {
	fail := func(line, column int, message string) yamlfile.Problem {
		at, before, exact := r.Place(f.Node, line, column)
		if !exact {
			message += fmt.Sprintf(" (line %d, column %d of the expression)", line, column)
		}
		return yamlfile.Problem{File: r.File, Line: at, Column: before, Field: f.Path, Message: message}
	}
	if r.language == nil {
		var err error
		if r.language, err = newLanguage(); err != nil {
			return nil, yamlfile.Problems{fail(1, 1, "the expression language cannot be made: "+err.Error())}
		}
	}
	checked, issues := r.language.env.Compile(text)
	if issues.Err() != nil {
		var broken yamlfile.Problems
		for _, e := range issues.Errors() {
			broken = append(broken, fail(e.Location.Line(), e.Location.Column()+1, compilerSays(e.Message)))
		}
		return nil, broken
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, yamlfile.Problems{fail(1, 1, "it gives "+cel.FormatCELType(checked.OutputType())+", not true or false")}
	}
	program, err := r.language.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, yamlfile.Problems{fail(1, 1, err.Error())}
	}
	where := fail(1, 1, "").String()
	return func(g *monitor.Group, p *monitor.Partition) (bool, error) {
		row := make(map[string]any, len(variables))
		for _, v := range variables {
			row[v.name] = v.of(g, p)
		}
		result, _, err := program.Eval(row)
		if err != nil {
			return false, fmt.Errorf("%sfor group %s and %s[%d]: %w", where, g.ID, p.Topic, p.Partition, err)
		}
		b, ok := result.(types.Bool)
		if !ok {
			return false, errors.New(where + "it gives " + result.Type().TypeName() + ", not true or false")
		}
		return bool(b), nil
	}, nil
}

// compilerSays makes a compiler's message fit a line, and helps with a name.
func compilerSays(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "Syntax error: "), " expecting ")
	if rest, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		names := make([]string, len(variables))
		for i, v := range variables {
			names[i] = v.name
		}
		slices.Sort(names)
		return "there is no " + name + yamlfile.Hint(name, names)
	}
	if message == "mismatched input '<EOF>'" {
		return "the expression ends where more is expected"
	}
	return message
}
