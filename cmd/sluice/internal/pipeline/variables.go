package pipeline

import (
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The names that an expression may use.
const (
	variableValue     = "value"
	variableKey       = "key"
	variableHeaders   = "headers"
	variableTopic     = "topic"
	variablePartition = "partition"
	variableOffset    = "offset"
	variableTimestamp = "timestamp"
)

// declare says of which type each name is.
func declare(format Format) []cel.EnvOption {
	value := cel.DynType
	switch {
	case format.Name == FormatRaw:
		value = cel.StringType
	case format.Name == FormatCSV && len(format.Header) > 0:
		value = cel.MapType(cel.StringType, cel.StringType)
	case format.Name == FormatCSV:
		value = cel.ListType(cel.StringType)
	}
	return []cel.EnvOption{
		cel.Variable(variableValue, value), cel.Variable(variableKey, cel.DynType),
		cel.Variable(variableHeaders, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(variableTopic, cel.StringType), cel.Variable(variablePartition, cel.IntType),
		cel.Variable(variableOffset, cel.IntType), cel.Variable(variableTimestamp, cel.TimestampType),
	}
}

// variables are one record as expressions see it. Each is made when it is first asked for. It is not safe for concurrent use.
type variables struct {
	record  *kgo.Record
	format  Format
	fields  []string // of a line of CSV
	content string   // see text
	value   ref.Val
	headers ref.Val
}

// text is the record's value. All that is read from it shares this one copy.
func (v *variables) text() string {
	if v.content == "" {
		v.content = string(v.record.Value)
	}
	return v.content
}

// Parent implements cel.Activation.
func (*variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case variableValue:
		if v.value == nil {
			v.value = v.makeValue()
		}
		return v.value, true
	case variableKey:
		if v.record.Key == nil {
			return types.NullValue, true
		}
		return textOf(v.record.Key, "the record's key is not text (UTF-8)"), true
	case variableHeaders:
		if v.headers == nil {
			v.headers = v.makeHeaders()
		}
		return v.headers, true
	case variableTopic:
		return types.String(v.record.Topic), true
	case variablePartition:
		return types.Int(v.record.Partition), true
	case variableOffset:
		return types.Int(v.record.Offset), true
	case variableTimestamp:
		return types.Timestamp{Time: v.record.Timestamp.UTC()}, true
	}
	return nil, false
}

func textOf(b []byte, otherwise string) ref.Val {
	if !utf8.Valid(b) {
		return types.NewErrFromString(otherwise)
	}
	return types.String(b)
}

const noValue = "the record has no value (a tombstone)"

func (v *variables) makeValue() ref.Val {
	switch {
	case v.record.Value == nil:
		return types.NewErrFromString(noValue)
	case v.format.Name == FormatRaw:
		return textOf(v.record.Value, "the record's value is not text (UTF-8)")
	case v.format.Name == FormatCSV:
		if len(v.format.Header) == 0 {
			return types.NewStringList(adapter{}, v.fields)
		}
		byName := make(map[string]string, len(v.fields))
		for i, name := range v.format.Header {
			byName[name] = v.fields[i]
		}
		return types.NewStringStringMap(adapter{}, byName)
	}
	return (&node{raw: v.text()}).resolve()
}

// makeHeaders has the last header of each name. One that is no text is bytes.
func (v *variables) makeHeaders() ref.Val {
	byName := make(map[string]any, len(v.record.Headers))
	for _, h := range v.record.Headers {
		switch {
		case h.Value == nil:
			byName[h.Key] = types.NullValue
		case utf8.Valid(h.Value):
			byName[h.Key] = types.String(h.Value)
		default:
			byName[h.Key] = types.Bytes(h.Value)
		}
	}
	return types.NewStringInterfaceMap(adapter{}, byName)
}
