package dsl

// Parse reads all YAML documents of a file.
func Parse(src *Source, r Reporter) []*Node { return nil }
