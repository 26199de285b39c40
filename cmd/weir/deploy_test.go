package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

// What deploy/kubernetes.yaml lets Weir do is what looking for endpoints asks for,
// in the namespace and for the account that it says.
func TestTheRoleForKubernetesIsWhatIsAskedFor(t *testing.T) {
	text := read(t, root+"/deploy/kubernetes.yaml")
	var faults dsl.Diagnostics
	found := map[string]*dsl.Node{}
	for _, n := range dsl.Parse(dsl.NewSource("kubernetes.yaml", text), &faults) {
		found[at(t, n, "kind").Text] = n
	}
	if all := faults.All(); len(all) > 0 || len(found) != 3 {
		t.Fatalf("%v, %d kinds of objects", all, len(found))
	}
	account, role, binding := found["ServiceAccount"], found["Role"], found["RoleBinding"]
	for _, c := range []struct{ name, got, want string }{
		{"the role that is bound", at(t, binding, "roleRef", "name").Text, at(t, role, "metadata", "name").Text},
		{"its kind", at(t, binding, "roleRef", "kind").Text, "Role"},
		{"its group", at(t, binding, "roleRef", "apiGroup").Text + "/v1", at(t, role, "apiVersion").Text},
		{"the namespace of the role", at(t, role, "metadata", "namespace").Text, "shop"}, // that of the guide's k8s://shop
		{"the namespace of the binding", at(t, binding, "metadata", "namespace").Text, "shop"},
		{"the version of the account", at(t, account, "apiVersion").Text, "v1"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.name, c.got, c.want)
		}
	}
	subject, rule := at(t, binding, "subjects").Items[0], at(t, role, "rules").Items[0]
	for _, key := range []string{"name", "namespace"} {
		if got, want := at(t, subject, key).Text, at(t, account, "metadata", key).Text; got != want {
			t.Errorf("the account's %s is %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{"apiGroups": "discovery.k8s.io", "resources": "endpointslices", "verbs": "get list watch"} {
		var got []string
		for _, item := range at(t, rule, key).Items {
			got = append(got, item.Text)
		}
		if strings.Join(slices.Sorted(slices.Values(got)), " ") != want {
			t.Errorf("%s are %v, want %s", key, got, want)
		}
	}
}

// at is the value behind a path of keys.
func at(t *testing.T, n *dsl.Node, path ...string) *dsl.Node {
	t.Helper()
	for _, key := range path {
		next := n.Field(key)
		if next == nil {
			t.Fatalf("%s has no %s", n.Span.Text(), key)
		}
		n = next
	}
	return n
}
