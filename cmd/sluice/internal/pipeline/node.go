package pipeline

import (
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/tidwall/gjson"
)

// node is a place in a record's JSON, which is valid. It is read one level at a time and once, when an expression gets there.
type node struct {
	raw   string
	depth int
	value ref.Val
}

// maxDepth bounds the work on a value that is nested out of malice: each level reads what is left once more.
const (
	maxDepth = 100
	tooDeep  = "the value is nested deeper than 100 levels"
)

func (n *node) resolve() ref.Val {
	if n.value == nil {
		n.value = n.read()
	}
	return n.value
}

func (n *node) read() ref.Val {
	json := gjson.Parse(n.raw)
	switch json.Type {
	case gjson.Null:
		return types.NullValue
	case gjson.False, gjson.True:
		return types.Bool(json.Type == gjson.True)
	case gjson.Number:
		return numberOf(json.Raw)
	case gjson.String:
		return types.String(json.Str)
	case gjson.JSON:
	}
	if n.depth == maxDepth {
		return types.NewErrFromString(tooDeep)
	}
	if !json.IsArray() {
		return &object{json: json, depth: n.depth + 1}
	}
	var elements []*node
	json.ForEach(func(_, element gjson.Result) bool {
		elements = append(elements, &node{raw: element.Raw, depth: n.depth + 1})
		return true
	})
	return types.NewDynamicList(adapter{}, elements)
}

// object is a JSON object. Its first fields are looked up one by one, since most expressions ask for few of them.
type object struct {
	json  gjson.Result
	depth int // of its fields
	found []member
	whole traits.Mapper // once more was asked for
}

// member is a field that was looked up; its node is nil where there is none.
type member struct {
	name string
	*node
}

// maxLookups is how many fields are looked up before all are read: each of them may go through the whole object.
const maxLookups = 4

// Find implements traits.Mapper. As for a column's path, the first field of a name counts.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok || o.whole != nil {
		return o.all().Find(key)
	}
	for _, m := range o.found {
		if m.name == string(name) {
			return m.get()
		}
	}
	if len(o.found) == maxLookups {
		return o.all().Find(key)
	}
	m := member{name: string(name)}
	o.json.ForEach(func(name, value gjson.Result) bool {
		if name.Str != m.name {
			return true
		}
		m.node = &node{raw: value.Raw, depth: o.depth}
		return false
	})
	o.found = append(o.found, m)
	return m.get()
}

func (m member) get() (ref.Val, bool) {
	if m.node == nil {
		return nil, false
	}
	return m.resolve(), true
}

func (o *object) all() traits.Mapper {
	if o.whole == nil {
		fields := map[string]any{}
		o.json.ForEach(func(name, value gjson.Result) bool {
			if _, twice := fields[name.Str]; !twice {
				fields[name.Str] = &node{raw: value.Raw, depth: o.depth}
			}
			return true
		})
		o.whole = types.NewStringInterfaceMap(adapter{}, fields)
	}
	return o.whole
}

// Contains implements traits.Mapper.
func (o *object) Contains(key ref.Val) ref.Val {
	_, found := o.Find(key)
	return types.Bool(found)
}

// Get implements traits.Mapper.
func (o *object) Get(key ref.Val) ref.Val {
	if v, found := o.Find(key); found {
		return v
	}
	return o.all().Get(key) // its error
}

func (o *object) ConvertToNative(t reflect.Type) (any, error) { return o.all().ConvertToNative(t) }
func (o *object) ConvertToType(t ref.Type) ref.Val            { return o.all().ConvertToType(t) }
func (o *object) Equal(other ref.Val) ref.Val                 { return o.all().Equal(other) }
func (o *object) Iterator() traits.Iterator                   { return o.all().Iterator() }
func (o *object) Size() ref.Val                               { return o.all().Size() }
func (o *object) Type() ref.Type                              { return types.MapType }
func (o *object) Value() any                                  { return o.all().Value() }

// adapter lets CEL's lists and maps hold nodes.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (adapter) NativeToValue(v any) ref.Val {
	if n, ok := v.(*node); ok {
		return n.resolve()
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}
