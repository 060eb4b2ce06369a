package pipeline

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// fromSet computes a column's value.
func (m *Mapper) fromSet(i int, v *variables) (any, error) {
	result, err := m.set[i].eval(v)
	if err == nil {
		var value any
		if value, err = m.computed(i, result); err == nil {
			return value, nil
		}
	}
	return nil, fmt.Errorf("transform.set.%s: %w", m.columns[i].Path, err)
}

// computed turns an expression's value into what a driver takes, as result does with a value of the record's JSON.
func (m *Mapper) computed(i int, v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil //nolint:nilnil // NULL
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil //nolint:nilnil // NULL
		}
		return m.computed(i, v.GetValue())
	case types.Bool:
		if m.json[i] {
			return strconv.FormatBool(bool(v)), nil
		}
		return m.boolean(bool(v)), nil
	case types.Int:
		return m.digits(i, strconv.FormatInt(int64(v), 10)), nil
	case types.Uint:
		return m.digits(i, strconv.FormatUint(uint64(v), 10)), nil
	case types.Double:
		text, err := digitsOf(float64(v))
		if err != nil {
			return nil, err
		}
		return m.digits(i, text), nil
	case longNumber:
		return m.digits(i, string(v)), nil
	case types.String:
		if m.json[i] {
			quoted, err := json.Marshal(string(v))
			return string(quoted), err
		}
		return m.text(i, string(v)), nil
	case types.Bytes:
		return m.text(i, string(v)), nil
	case types.Timestamp:
		if m.json[i] {
			return strconv.Quote(v.UTC().Format(time.RFC3339Nano)), nil
		}
		return m.time(v.UTC()), nil
	}
	return nil, fmt.Errorf("it gives %s, not one value that a column can take", v.Type().TypeName())
}

func (m *Mapper) digits(i int, text string) any {
	if m.json[i] {
		return text
	}
	return m.number(text)
}
