package pipeline

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// JSON has one kind of number, and writers spell it as they like: 2, 2.0 and 2e0 are the same. CEL has three kinds that do
// not mix, so by the standard `value.qty * value.price` would fail on every record whose price happens to be whole, and
// 7 / 2 would be 3 but 7.5 / 2 an error. Here the spelling decides nothing: a whole number is an int, any other a double,
// the two mix, and a division that leaves a rest gives a fraction. Nothing is rounded in silence: a number that neither kind
// holds exactly is a longNumber, which no operator takes.

// longNumber is a JSON number with more digits, or a larger exponent, than int, uint and double can hold. A column can take
// it as it stands, and double() rounds it.
type longNumber string

var longNumberType = types.NewObjectType("number", traits.AdderType, traits.SubtractorType, traits.MultiplierType,
	traits.DividerType, traits.ModderType, traits.ComparerType)

const tooManyDigits = "a number has more digits than an expression calculates with; double(...) rounds it"

func (longNumber) ConvertToNative(reflect.Type) (any, error) { return nil, errors.New(tooManyDigits) }
func (n longNumber) Type() ref.Type                          { return longNumberType }
func (n longNumber) Value() any                              { return string(n) }
func (longNumber) Compare(ref.Val) ref.Val                   { return types.NewErrFromString(tooManyDigits) }

func (n longNumber) ConvertToType(to ref.Type) ref.Val {
	if to == types.DoubleType {
		if f, err := strconv.ParseFloat(string(n), 64); err == nil {
			return types.Double(f)
		}
	}
	return types.NewErrFromString(tooManyDigits)
}

// Equal is exact: what int, uint and double can hold is never a longNumber.
func (n longNumber) Equal(other ref.Val) ref.Val {
	m, ok := other.(longNumber)
	return types.Bool(ok && decimalOf(string(n)) == decimalOf(string(m)))
}

// numberOf makes a number of its JSON text.
func numberOf(raw string) ref.Val {
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return types.Int(n)
	}
	if n, err := strconv.ParseUint(raw, 10, 64); err == nil {
		return types.Uint(n)
	}
	f, err := strconv.ParseFloat(raw, 64)
	// 15 digits always fit. Of more, those do that are what the double itself is written as.
	const surelyFit = 16 // with a point
	if err != nil || (len(raw) > surelyFit || strings.ContainsAny(raw, "eE")) &&
		decimalOf(raw) != decimalOf(strconv.FormatFloat(f, 'e', -1, 64)) {
		return longNumber(raw)
	}
	if n, ok := wholeOf(f); ok {
		return n
	}
	return types.Double(f)
}

// decimal is a number's digits without zeros at either end, and the power of ten of the first one.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

func decimalOf(raw string) decimal {
	var d decimal
	raw, d.negative = strings.CutPrefix(raw, "-")
	if at := strings.IndexAny(raw, "eE"); at >= 0 {
		exponent, err := strconv.Atoi(raw[at+1:])
		if err != nil {
			d.digits = raw // beyond every range: equal only to itself
			return d
		}
		raw, d.exponent = raw[:at], exponent
	}
	whole, fraction, _ := strings.Cut(raw, ".")
	d.exponent += len(whole)
	digits := strings.TrimLeft(whole+fraction, "0")
	d.exponent -= len(whole) + len(fraction) - len(digits)
	if d.digits = strings.TrimRight(digits, "0"); d.digits == "" {
		return decimal{}
	}
	return d
}

// maxExact is the largest whole number up to which a double holds all of them.
const maxExact = 1 << 53

func wholeOf(f float64) (types.Int, bool) {
	return types.Int(f), f == math.Trunc(f) && math.Abs(f) <= maxExact
}

// doubleOf is a number as a double; exact says that this changes nothing.
func doubleOf(v ref.Val) (f float64, number, exact bool) {
	switch n := v.(type) {
	case types.Double:
		return float64(n), true, true
	case types.Int:
		return float64(n), true, -maxExact <= n && n <= maxExact
	case types.Uint:
		return float64(n), true, n <= maxExact
	case longNumber:
		return 0, true, false
	}
	return 0, false, false
}

// mixed lets an operator take numbers of two kinds. same does the rest: two of a kind, and what is no number.
func mixed(same functions.BinaryOp, double func(a, b float64) ref.Val) functions.BinaryOp {
	return func(lhs, rhs ref.Val) ref.Val {
		_, leftNumber, _ := doubleOf(lhs)
		_, rightNumber, _ := doubleOf(rhs)
		_, long := lhs.(longNumber)
		if long || leftNumber && rightNumber && lhs.Type() != rhs.Type() {
			return exactly(lhs, rhs, double)
		}
		return same(lhs, rhs)
	}
}

func quotient(a, b float64) ref.Val {
	if b == 0 {
		return types.NewErrFromString("division by zero")
	}
	return types.Double(a / b)
}

// divide gives a whole number where nothing remains, and a fraction elsewhere.
func divide(lhs, rhs ref.Val) ref.Val {
	switch a := lhs.(type) {
	case types.Double:
		if b, ok := rhs.(types.Double); ok {
			return quotient(float64(a), float64(b))
		}
	case types.Int:
		if b, ok := rhs.(types.Int); ok && b != 0 && b != -1 && a%b != 0 {
			return exactly(lhs, rhs, quotient)
		}
	case types.Uint:
		if b, ok := rhs.(types.Uint); ok && b != 0 && a%b != 0 {
			return exactly(lhs, rhs, quotient)
		}
	}
	return lhs.(traits.Divider).Divide(rhs) //nolint:forcetypeassert // the operand's trait is checked before the call
}

// exactly calculates with doubles, if that changes neither number.
func exactly(lhs, rhs ref.Val, double func(a, b float64) ref.Val) ref.Val {
	a, _, leftExact := doubleOf(lhs)
	b, _, rightExact := doubleOf(rhs)
	if !leftExact || !rightExact {
		return types.NewErrFromString(tooManyDigits)
	}
	return double(a, b)
}

func isArithmetic(function string) bool {
	switch function {
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate:
		return true
	}
	return false
}

// numbers replaces CEL's arithmetic by one that mixes numbers.
func numbers() []cel.EnvOption {
	kinds := []*cel.Type{cel.IntType, cel.UintType, cel.DoubleType}
	noFraction := func(a, b float64) ref.Val { return types.NewErrFromString("no such overload") }
	operations := []struct {
		name  string
		trait int
		mix   *cel.Type // what two kinds of numbers give; nil where they cannot be had
		op    functions.BinaryOp
	}{
		{operators.Add, traits.AdderType, cel.DoubleType, mixed(
			func(a, b ref.Val) ref.Val { return a.(traits.Adder).Add(b) }, //nolint:forcetypeassert // by the trait, as below
			func(a, b float64) ref.Val { return types.Double(a + b) })},
		{operators.Subtract, traits.SubtractorType, cel.DoubleType, mixed(
			func(a, b ref.Val) ref.Val { return a.(traits.Subtractor).Subtract(b) }, //nolint:forcetypeassert // see above
			func(a, b float64) ref.Val { return types.Double(a - b) })},
		{operators.Multiply, traits.MultiplierType, cel.DoubleType, mixed(
			func(a, b ref.Val) ref.Val { return a.(traits.Multiplier).Multiply(b) }, //nolint:forcetypeassert // see above
			func(a, b float64) ref.Val { return types.Double(a * b) })},
		{operators.Divide, traits.DividerType, cel.DoubleType, mixed(divide, quotient)},
		{operators.Modulo, traits.ModderType, nil, mixed(
			func(a, b ref.Val) ref.Val { return a.(traits.Modder).Modulo(b) }, //nolint:forcetypeassert // see above
			noFraction)},
	}
	var without []*env.Function
	var options []cel.EnvOption
	for _, o := range operations {
		without = append(without, env.NewFunction(o.name))
		overloads := []cel.FunctionOpt{cel.SingletonBinaryBinding(o.op, o.trait)}
		for _, standard := range overloadsOf(o.name) {
			result := standard.ResultType()
			if o.name == operators.Divide {
				result = cel.DynType // a whole number or a fraction
			}
			overloads = append(overloads, cel.Overload(standard.ID(), standard.ArgTypes(), result))
		}
		for _, a := range kinds {
			for _, b := range kinds {
				if a != b && o.mix != nil {
					id := strings.Trim(o.name, "_") + "_" + a.String() + "_" + b.String()
					overloads = append(overloads, cel.Overload(id, []*cel.Type{a, b}, o.mix))
				}
			}
		}
		options = append(options, cel.Function(o.name, overloads...))
	}
	return append([]cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(without...))),
		cel.Function("double", cel.Overload("number_to_double", []*cel.Type{longNumberType}, cel.DoubleType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.DoubleType) }))),
	}, options...)
}

func overloadsOf(name string) []*decls.OverloadDecl {
	for _, f := range stdlib.Functions() {
		if f.Name() == name {
			return f.OverloadDecls()
		}
	}
	return nil
}
