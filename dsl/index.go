package dsl

// Index is told what the names in files mean while a program is checked: where
// they are given, where they are used, and which there are at each place. Editors
// look things up in it. Its methods may be called by several goroutines at a time.
type Index interface {
	// Define tells that something gets a name: a service, a flow, a step. The
	// noun says what it is.
	Define(noun string, name String)
	// Use tells that something is named. If the name is one of its file, of is
	// the place where it is defined; otherwise it is that of a thing of the
	// program, which the noun tells from others of the same name.
	Use(noun string, name String, of Span)
	// Expression tells of an expression, and of the names that it may use. It
	// comes before the expression is compiled, and so for those with faults, too.
	Expression(at Span, scope Scope)
}
