package pipeline

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// Expression is a compiled expression of the common expression language (CEL, https://cel.dev) over one record. It is safe for use by
// several goroutines.
type Expression struct {
	text    string
	program cel.Program
}

// maxCost bounds the steps of one evaluation, so that an expression that goes through lists within lists cannot stall a
// partition.
const maxCost = 100_000

// language compiles expressions.
type language struct {
	env    *cel.Env
	header []string // the names that value may have; nil for any
}

func newLanguage(format Format) (*language, error) {
	options := append(numbers(), declare(format)...)
	options = append(options,
		cel.CustomTypeAdapter(adapter{}), cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true), cel.OptionalTypes(),
		ext.Strings(ext.StringsVersion(stringsVersion)), ext.Math(),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	)
	environment, err := cel.NewCustomEnv(options...)
	if err != nil {
		return nil, err
	}
	sharedErrors.Do(func() { err = labelSharedErrors(environment) })
	return &language{env: environment, header: format.Header}, err
}

// sharedErrors guards labelSharedErrors.
var sharedErrors sync.Once

// labelSharedErrors makes evaluations safe beside each other: the library writes into an error where in an expression it arose,
// unless that is written there already, and three of its errors are one value for the whole process.
func labelSharedErrors(environment *cel.Env) error {
	types.LabelErrNode(1, types.NoSuchOverloadErr())
	types.LabelErrNode(1, types.Int(math.MaxInt64).ConvertToType(types.TimestampType))
	const overflow = "math.abs(-9223372036854775808)" // this one can only be had by evaluation
	checked, issues := environment.Compile(overflow)
	if err := issues.Err(); err != nil {
		return err
	}
	program, err := environment.Program(checked)
	if err != nil {
		return err
	}
	if _, _, err := program.Eval(cel.NoVars()); err == nil {
		return errors.New(overflow + " has a value")
	}
	return nil
}

// stringsVersion is the first: the functions that came later make texts whose size a record could set.
const stringsVersion = 0

// mistake is where an expression is wrong, and why.
type mistake struct {
	line, column int // of the expression, from 1
	message      string
}

// compile returns the expression, or its mistakes.
func (l *language) compile(text string, want result) (*Expression, []mistake) {
	checked, issues := l.env.Compile(text)
	if issues.Err() != nil {
		var found []mistake
		for _, e := range issues.Errors() {
			found = append(found, mistake{e.Location.Line(), e.Location.Column() + 1, compilerSays(e.Message)})
		}
		return nil, found
	}
	if found := l.refused(checked.NativeRep()); found != nil {
		return nil, found
	}
	if gives := want.refuses(checked); gives != "" {
		return nil, []mistake{{1, 1, fmt.Sprintf("it gives %s, not %s", gives, want.words)}}
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if loops(checked.NativeRep()) { // without one, the work is bounded by the texts of expression and record
		options = append(options, cel.CostLimit(maxCost), cel.CostTracking(costs{}))
	}
	program, err := l.env.Program(checked, options...)
	if err != nil {
		return nil, []mistake{{1, 1, err.Error()}}
	}
	return &Expression{text: text, program: program}, nil
}

// result is what an expression is for.
type result struct {
	words string
	types []*cel.Type
}

var (
	forFilter = result{"true or false", []*cel.Type{cel.BoolType}}
	forColumn = result{"one value that a column can take", []*cel.Type{
		cel.BoolType, cel.IntType, cel.UintType, cel.DoubleType, cel.StringType, cel.BytesType, cel.TimestampType, cel.NullType,
		cel.OptionalType(cel.DynType),
	}}
	forRecord = result{"what a record can hold", append([]*cel.Type{
		cel.ListType(cel.DynType), cel.MapType(cel.DynType, cel.DynType),
	}, forColumn.types...)}
)

// refuses returns what an expression gives that it should not, empty when it is right or cannot be known before it runs.
func (w result) refuses(checked *cel.Ast) string {
	t := checked.OutputType()
	if t.IsExactType(cel.DynType) {
		root := checked.NativeRep().Expr()
		if root.Kind() == ast.CallKind && isArithmetic(root.AsCall().FunctionName()) && !slices.Contains(w.types, cel.DoubleType) {
			return "a number or a text"
		}
		return ""
	}
	if slices.ContainsFunc(w.types, func(w *cel.Type) bool {
		return t.IsExactType(w) || t.TypeName() == w.TypeName() // an optional one, a list or a map of anything
	}) {
		return ""
	}
	return cel.FormatCELType(t)
}

var undeclared = regexp.MustCompile(`^undeclared reference to '(\w+)'( \(.*\))*$`)

// compilerSays makes a compiler's message fit a line, and helps with a name.
func compilerSays(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	message, _, _ = strings.Cut(strings.TrimPrefix(message, "Syntax error: "), " expecting ")
	if name := undeclared.FindStringSubmatch(message); name != nil {
		known := []string{
			variableValue, variableKey, variableHeaders, variableTopic, variablePartition, variableOffset, variableTimestamp,
		}
		return "there is no " + name[1] + yamlfile.Hint(name[1], known)
	}
	if message == "mismatched input '<EOF>'" {
		return "the expression ends where more is expected"
	}
	return message
}

// patterns says how many first arguments of a function must be literals, because with a hostile one its time or its result
// grows as the product of two texts.
var patterns = map[string]int{"matches": 1, "replace": 2, "indexOf": 1, "lastIndexOf": 1}

// loops tells whether an expression goes through a list or a map.
func loops(tree *ast.AST) bool {
	found := false
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) { found = found || e.Kind() == ast.ComprehensionKind }))
	return found
}

// refused finds what compiles and yet cannot work, or not safely.
func (l *language) refused(tree *ast.AST) []mistake {
	var found []mistake
	bad := func(e ast.Expr, message string) {
		at := tree.SourceInfo().GetStartLocation(e.ID())
		found = append(found, mistake{at.Line(), at.Column() + 1, message})
	}
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() { //nolint:exhaustive // the others are fine
		case ast.SelectKind: // value.NAME that no line of CSV has
			of, name := e.AsSelect().Operand(), e.AsSelect().FieldName()
			if len(l.header) > 0 && of.Kind() == ast.IdentKind && of.AsIdent() == variableValue && !slices.Contains(l.header, name) {
				bad(e, "decode.csv.header has no "+name+yamlfile.Hint(name, l.header))
			}
		case ast.CallKind:
			call := e.AsCall()
			args := call.Args()
			if !call.IsMemberFunction() && len(args) > 0 {
				args = args[1:]
			}
			for i := range min(patterns[call.FunctionName()], len(args)) {
				if args[i].Kind() != ast.LiteralKind {
					bad(args[i], call.FunctionName()+" needs a text in quotes here: one out of a record could stall the partition")
				}
			}
		}
	}))
	return found
}

// costs counts a step for every 64 bytes that a function reads or makes, which the library does not do for values whose
// type is known only when it runs.
type costs struct{}

// CallCost implements interpreter.ActualCostEstimator. nil: what the library counts.
func (costs) CallCost(_, _ string, args []ref.Val, result ref.Val) *uint64 {
	size := sizeOf(result)
	for _, a := range args {
		size += sizeOf(a)
	}
	const step = 64
	if size < step {
		return nil
	}
	cost := 1 + size/step
	return &cost
}

func sizeOf(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	case traits.Sizer: // lists and maps
		const element = 8
		if n, ok := v.Size().(types.Int); ok {
			return element * uint64(n)
		}
	}
	return 0
}

// eval returns the expression's value for a record. Its error never quotes the record.
func (e *Expression) eval(v *variables) (ref.Val, error) {
	result, _, err := e.program.Eval(v)
	if err != nil {
		return nil, errors.New(e.reason(err))
	}
	return result, nil
}

// harmless are the library's and our own messages that hold nothing of a record.
var harmless = []string{
	"division by zero", "modulus by zero", "integer overflow", "unsigned integer overflow", "double overflow", "duration overflow",
	"timestamp overflow", "the record's key is not text (UTF-8)", "the record's value is not text (UTF-8)",
	tooDeep, tooManyDigits, noValue,
}

// reason says why an evaluation failed, in words that hold nothing of the record.
func (e *Expression) reason(err error) string {
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return fmt.Sprintf("it takes more than %d steps for this record", maxCost)
	}
	message := err.Error()
	if slices.Contains(harmless, message) {
		return message
	}
	name, isKey := strings.CutPrefix(message, "no such key: ")
	switch {
	case isKey && strings.Contains(e.text, name):
		return "this record has no field " + name + "; has(...) asks whether it is there"
	case isKey:
		return "this record has no field of the name that the expression looks up"
	case strings.HasPrefix(message, "index out of bounds"):
		return "a list is shorter than the expression takes it for"
	case strings.HasPrefix(message, "no such overload"):
		return "a value is not of the type that the expression takes it for (no such overload)"
	case strings.HasPrefix(message, "invalid RFC 3339 timestamp"):
		return "a text is no time as in 2026-01-31T08:00:00Z"
	case strings.HasPrefix(message, "type conversion error"):
		return "a value cannot be converted as the expression asks"
	}
	return "a value is not what the expression takes it for"
}

// holds evaluates a filter.
func (e *Expression) holds(v *variables) (bool, error) {
	result, err := e.eval(v)
	if err != nil {
		return false, fmt.Errorf("transform.filter: %w", err)
	}
	b, ok := result.(types.Bool)
	if !ok {
		return false, fmt.Errorf("transform.filter: it gives %s, not true or false", result.Type().TypeName())
	}
	return bool(b), nil
}
