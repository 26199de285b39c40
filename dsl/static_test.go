package dsl

import (
	"strings"
	"testing"
)

// typedScope has names of which much is known, and one of which nothing is.
func typedScope() *values {
	v := testScope(exprBody)
	text, whole := Static(IsText), Static(IsInt)
	item := &StaticType{Kinds: IsObject, Fields: map[string]StaticField{
		"sku": {Type: text}, "price": {Type: Static(IsNumber)}, "qty": {Type: whole}, "note": {Type: text, Optional: true},
	}}
	tree := &StaticType{Kinds: IsObject}
	tree.Fields = map[string]StaticField{"name": {Type: text}, "parts": {Type: ListOf(tree)}}
	v.add("order", TypeAny, DecodeJSON(`{"status":"open","items":[{"sku":"x","price":1.5,"qty":2}],"customer":{"name":"Ada"},"rest":{}}`))
	v.names["order"].Static = &StaticType{Kinds: IsObject, Fields: map[string]StaticField{
		"id": {Type: whole}, "total": {Type: Static(IsNumber)}, "paid": {Type: Static(IsBool)},
		"status":   {Type: &StaticType{Kinds: IsText, Values: []string{"open", "shipped"}}},
		"items":    {Type: ListOf(item)},
		"customer": {Type: &StaticType{Kinds: IsObject, Fields: map[string]StaticField{"name": {Type: text}, "mail": {Type: text, Optional: true}}}},
		"parent":   {Type: tree},
		"labels":   {Type: &StaticType{Kinds: IsObject, Open: true, Rest: text}},
		"rest":     {},
		"either":   {Type: Static(IsText | IsInt)},
		"maybe":    {Type: Static(IsInt | IsNull)},
	}}
	return v
}

func TestExpressionsAreCheckedAgainstTypes(t *testing.T) {
	for _, c := range []struct{ expr, at, says, hint string }{
		{`order.custmer.name`, `custmer`, `order has no field "custmer"`, `did you mean "customer"?`},
		{`order.customer.nam`, `nam`, `order.customer has no field "nam"`, `did you mean "name"?`},
		{`order.customer?.nam ?? "x"`, `nam`, `order.customer has no field "nam"`, ``},
		{`order["custmer"]`, `"custmer"`, `has no field "custmer"`, ``},
		{`order.id.x`, `x`, `order.id is a whole number and has no field "x"`, `write order.id`},
		{`order.items.sku`, `sku`, `order.items is a list and has no field "sku"`, `map(order.items, .sku)`},
		{`order.items[0].prcie`, `prcie`, `order.items[0] has no field "prcie"`, `"price"`},
		{`order.items[order.id].prcie`, `prcie`, `an element of order.items has no field "prcie"`, ``},
		{`order.items[-1].prcie`, `prcie`, `an element of order.items has no field "prcie"`, ``},
		{`order.customer[0]`, `0`, `order.customer is an object and has no elements`, `mail, name`},
		{`map(order.items, .prcie)`, `prcie`, `an element of order.items has no field "prcie"`, ``},
		{`map(order.items, #.prcie)`, `prcie`, `an element of order.items has no field "prcie"`, ``},
		{`map(filter(order.items, .qty > 1), .prcie)`, `prcie`, `has no field "prcie"`, `"price"`},
		{`order.items | filter(.qty > 1) | map(.prcie)`, `prcie`, `has no field "prcie"`, ``},
		{`find(order.items, .qty == 1).prcie`, `prcie`, `has no field "prcie"`, ``},
		{`first(order.items).prcie`, `prcie`, `has no field "prcie"`, ``},
		{`sortBy(order.items, .prcie)`, `prcie`, `has no field "prcie"`, ``},
		{`groupBy(order.items, .sku).x[0].prcie`, `prcie`, `has no field "prcie"`, ``},
		{`let i = order.items[0]; i.prcie`, `prcie`, `i has no field "prcie"`, ``},
		{`(order.paid ? order.customer : order.customer).nam`, `nam`, `has no field "nam"`, ``},
		{`(order.customer ?? {"name": "x"}).nam`, `nam`, `has no field "nam"`, ``},
		{`{"a": order.id}.b`, `b`, `has no field "b"`, ``},
		{`order.parent.parts[0].parts[0].nme`, `nme`, `has no field "nme"`, `"name"`},
		{`map(order.parent.parts, map(.parts, .nme))`, `nme`, `has no field "nme"`, ``},
		{`order.status + 1`, `+`, `text and a whole number cannot be added`, `convert`},
		{`order.items + 1`, `+`, `a list and a whole number cannot be added`, ``},
		{`order.id - order.status`, `-`, `- is not for a whole number and text`, ``},
		{`order.id < order.status`, `<`, `a whole number and text cannot be compared`, ``},
		{`order.id == "7"`, `==`, `a whole number and text cannot be compared`, ``},
		{`order.either == true`, `==`, `a whole number or text and true or false cannot be compared`, ``},
		{`order.id in ["a"]`, `in`, `a whole number is never in a list of text`, ``},
		{`"a" in map(order.items, .qty)`, `in`, `text is never in a list of a whole number`, ``},
		{`order.status == "shiped"`, `"shiped"`, `order.status is never "shiped"`, `did you mean "shipped"?`},
		{`order.status in ["open", "shiped"]`, `"shiped"`, `order.status is never "shiped"`, ``},
		{`order.id contains "1"`, `contains`, `contains is for two texts`, ``},
		{`not order.id`, `id`, `true or false; this is a whole number`, ``},
		{`order.id and order.paid`, `id`, `what and joins is true or false`, ``},
		{`order.id ? 1 : 2`, `id`, `what stands before ? is true or false`, ``},
		{`upper(order.id)`, `id`, `upper takes text here, not a whole number`, ``},
		{`len(order.id)`, `id`, `len does not take a whole number`, ``},
		{`join(order.customer)`, `customer`, `not an object`, ``},
		{`map(order.customer, .name)`, `customer`, `map takes a list, not an object`, ``},
		{`filter(order.items, .qty)`, `qty`, `filter takes true or false for each element`, ``},
		{`sum(order.items, .sku)`, `sku`, `sum adds numbers up, not text`, ``},
		{`-order.status`, `-`, `- does not take text`, ``},
		{`order.id[1:2]`, `id`, `a part of a list or text`, ``},
		{`upper(order.status) + len(order.items)`, `+`, `text and a whole number cannot be added`, ``},
	} {
		t.Run(c.expr, func(t *testing.T) {
			var ds Diagnostics
			if e := NewExpressions(&ds).Compile(scalar(t, c.expr), typedScope()); e != nil || !ds.Failed() {
				t.Fatal("no fault was found")
			}
			d := ds.All()[0]
			if !strings.Contains(d.Message, c.says) || !strings.Contains(d.Hint, c.hint) || d.Hint == "" {
				t.Errorf("%s (%s)", d.Message, d.Hint)
			}
			if at := d.Span.Text(); !strings.HasPrefix(at, c.at) {
				t.Errorf("the place is %q", at)
			}
		})
	}
}

func TestWhatIsNotKnownIsNoFault(t *testing.T) {
	for _, expr := range []string{
		`order.rest.anything.at.all`, `order.labels.any + "x"`, `order.either + 1`, `order.either + "x"`, `order.maybe == null`, `order.maybe ?? 0`,
		`body.items[0].what`, `order.id + body.n`, `order.status == body.name`, `order.id == order.total`, `order.items == []`, `[] == order.items`,
		`first([])`, `map([], .x)`, `order.customer.mail ?? "none"`, `order.id in [1, 2.5]`, `order.id == null`, `null ?? (order.id + 1)`,
		`"name" in order.customer`, `order.status in ["open"]`, `order.status == upper("x")`, `(order.paid ? order.id : order.status) == 1`,
		`len(order.items) + order.id`, `sum(order.items, .price * .qty) > order.total`, `order.customer == order.parent`, `order.items[0:1]`,
		`reduce(order.items, #acc + .qty, 0) + "x"`, `keys(order.labels)[0] + "x"`, `get(order, "id") + 1`, `order.total / 2 + 1`, `fromJSON("1").x`,
		`order.paid ? order.id : null`, `concat(order.items, [1])[0]`, `string(order.id) + order.status`, `max(map(order.items, .qty)) + 1`,
	} {
		t.Run(expr, func(t *testing.T) {
			var ds Diagnostics
			if e := NewExpressions(&ds).Compile(scalar(t, expr), typedScope()); e == nil || ds.Failed() {
				t.Fatal(ds.All()[0].Message)
			}
		})
	}
}

func TestWhatMayBeAbsentIsNoted(t *testing.T) {
	for expr, notes := range map[string]int{
		`order.maybe + 1`: 1, `order.customer.mail + "x"`: 1, `(order.maybe ?? 0) + 1`: 0, `order.items[0].note > "a"`: 1,
		`order.customer.mail`: 0, `order.maybe == 1`: 0, `-order.maybe`: 1, `order.id + 1`: 0,
	} {
		var ds Diagnostics
		if NewExpressions(&ds).Compile(scalar(t, expr), typedScope()); ds.Failed() || ds.Len() != notes {
			t.Errorf("%s: %d notes", expr, ds.Len())
		}
	}
}

func TestJoinOfTypesThatContainThemselves(t *testing.T) {
	tree := func() *StaticType {
		n := &StaticType{Kinds: IsObject}
		n.Fields = map[string]StaticField{"next": {Type: n}, "id": {Type: Static(IsInt), Required: true}}
		return n
	}
	a, b := tree(), tree()
	b.Fields["id"] = StaticField{Type: Static(IsText), Required: true}
	joined := Join(a, b)
	if got := joined.Fields["next"].Type.Fields["next"].Type.Fields["id"].Type.Kinds; got != IsInt|IsText {
		t.Errorf("got %s", got)
	}
}

func TestShapesAreCheckedAgainstTypes(t *testing.T) {
	want := typedScope().names["order"].Static
	want.Fields["id"] = StaticField{Type: Static(IsInt), Required: true}
	for _, c := range []struct{ yaml, at, says, hint string }{
		{`{ idd: 7 }`, `idd`, `body has no field "idd"`, `did you mean "id"?`},
		{`{ total: 1 }`, ``, `body needs the field "id"`, `add id: a whole number`},
		{`{ id: "7" }`, `"7"`, `body.id is a whole number here, not text`, `write 7 without quotes`},
		{`{ id: 1.5 }`, `1.5`, `body.id is a whole number here, not a fraction`, ``},
		{`{ id: 1, status: 7 }`, `7`, `body.status is text here, not a whole number`, `write "7"`},
		{`{ id: 1, status: opn }`, `opn`, `body.status cannot be "opn"`, `did you mean "open"?`},
		{`{ id: 1, items: { sku: a } }`, `{ sku`, `body.items is a list here, not an object`, ``},
		{`{ id: 1, items: [{ skuu: a }] }`, `skuu`, `body.items[0] has no field "skuu"`, `"sku"`},
		{`{ id: $(order.status) }`, `$(order.status)`, `body.id is a whole number here; this gives text`, `int(x)`},
		{`{ id: 1, status: $(order.id) }`, `$(order.id)`, `body.status is text here; this gives a whole number`, `string(x)`},
		{`{ id: 1, customer: "$(order.items[0])" }`, ``, ``, ``},
		{`{ id: 1, items: "$(map(order.items, .qty))" }`, `"$(map`, `an element of body.items is an object here; this gives a whole number`, ``},
		{`{ id: 1, items: { $each: i in order.items, sku: $(i.skuu) } }`, `skuu`, `i has no field "skuu"`, ``},
		{`{ id: 1, items: { $each: i in order.items, skuu: $(i.sku) } }`, `skuu`, `an element of body.items has no field "skuu"`, ``},
		{`{ id: 1, items: { $each: i in order.id, sku: a } }`, `order.id`, `a list is needed here; this is a whole number`, ``},
		{`[1]`, `[1]`, `body is an object here, not a list`, ``},
		{`{ id: $(order.id), status: "$(order.status)", paid: true, items: [{ sku: a, price: 1.5 }, "$(order.items[0])"], maybe: null }`, ``, ``, ``},
		{`$(order)`, ``, ``, ``},
		{`$(body)`, ``, ``, ``},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			var ds Diagnostics
			n := Parse(NewSource("test.yaml", c.yaml), &ds)[0]
			x := NewExpressions(&ds)
			if x.Shape(n, typedScope()) != nil {
				x.Fits(n, want, "body")
			}
			if c.says == "" {
				if ds.Len() > 0 {
					t.Error(ds.All()[0].Message)
				}
				return
			}
			if !ds.Failed() {
				t.Fatal("no fault was found")
			}
			d := ds.All()[0]
			if !strings.Contains(d.Message, c.says) || !strings.Contains(d.Hint, c.hint) || d.Hint == "" || !strings.HasPrefix(d.Span.Text(), c.at) {
				t.Errorf("%q: %s (%s)", d.Span.Text(), d.Message, d.Hint)
			}
		})
	}
}
