package pipeline

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/sluice-go/sluice/cmd/sluice/internal/jsonline"
)

// bytes evaluates an expression for a key or a value: nil of null, text and bytes as they are, and JSON of everything else. A time alone
// is its text, without quotes.
func (e *Expression) bytes(v *variables) ([]byte, error) {
	result, err := e.eval(v)
	if err != nil {
		return nil, err
	}
	if optional, ok := result.(*types.Optional); ok {
		if !optional.HasValue() {
			return nil, nil
		}
		result = optional.GetValue()
	}
	switch result := result.(type) {
	case types.Null:
		return nil, nil
	case types.String:
		return []byte(result), nil
	case types.Bytes:
		return append([]byte{}, result...), nil // an empty one is not null
	case types.Timestamp:
		return result.UTC().AppendFormat(nil, time.RFC3339Nano), nil
	}
	return appendJSON(nil, result)
}

// appendJSON writes a value as JSON. An object of the record is written as it stands there; of a map that an expression makes, names are
// in the order of the alphabet, so that the same record always gives the same bytes.
func appendJSON(b []byte, v ref.Val) ([]byte, error) {
	switch v := v.(type) {
	case types.Null:
		return append(b, "null"...), nil
	case *types.Optional:
		if !v.HasValue() {
			return append(b, "null"...), nil
		}
		return appendJSON(b, v.GetValue())
	case types.Bool:
		return strconv.AppendBool(b, bool(v)), nil
	case types.Int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case types.Uint:
		return strconv.AppendUint(b, uint64(v), 10), nil
	case types.Double:
		text, err := digitsOf(float64(v))
		return append(b, text...), err
	case longNumber:
		return append(b, v...), nil
	case types.String:
		return appendText(b, string(v))
	case types.Bytes:
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), v), '"'), nil
	case types.Timestamp:
		return v.UTC().AppendFormat(b, `"`+time.RFC3339Nano+`"`), nil
	case *types.Err: // a place in the record's JSON that is only read now
		return nil, errors.New(tooDeep)
	case *object:
		return append(b, v.json.Raw...), nil
	case traits.Lister:
		return appendList(b, v)
	case traits.Mapper:
		return appendMap(b, v)
	}
	return nil, fmt.Errorf("it gives %s, which a record cannot hold", v.Type().TypeName())
}

func appendList(b []byte, list traits.Lister) ([]byte, error) {
	b = append(b, '[')
	first := true
	for it := list.Iterator(); it.HasNext() == types.True; first = false {
		if !first {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, it.Next()); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, m traits.Mapper) ([]byte, error) {
	var names []string
	for it := m.Iterator(); it.HasNext() == types.True; {
		name, ok := it.Next().(types.String)
		if !ok {
			return nil, errors.New("a map of it has a key that is no text, and so is not JSON")
		}
		names = append(names, string(name))
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendText(b, name); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), m.Get(types.String(name))); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendText quotes a text. What is not UTF-8 would be changed in silence.
func appendText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("a text of it is not UTF-8, and so is not JSON")
	}
	return jsonline.AppendText(b, s), nil
}

// digitsOf writes a double, in the shortest way that reads back as the same.
func digitsOf(f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", fmt.Errorf("it gives %v, which nothing can take", f)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) { // where JSON begins to write exponents
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, 64), nil
}
