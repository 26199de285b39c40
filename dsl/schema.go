package dsl

// Schema describes what a value may be.
type Schema struct {
	Type     string     // object, list, map, text, bool, int, number, duration, size, percent, shape, template, condition, steps, block
	Doc      string     // what the value is for
	Default  string     // as it is written in YAML; "" for none
	Enum     []string   // the allowed values, if they are few
	Min, Max string     // bounds as they are written; "" for none
	Fields   []Property // of an object, in the order of declaration
	Elem     *Schema    // of a list or a map
}

// Property is one key of an object.
type Property struct {
	Key      string
	Required bool
	*Schema
}
