package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/flows"
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

// What deploy/gateway-per-group.yaml mounts, sets and opens is what the groups of
// the example read and listen on.
func TestThePodsOfTheGroupsFitTheirFiles(t *testing.T) {
	var faults dsl.Diagnostics
	pods, services := map[string]*dsl.Node{}, map[string]*dsl.Node{}
	for _, n := range dsl.Parse(dsl.NewSource("gateway-per-group.yaml", read(t, root+"/deploy/gateway-per-group.yaml")), &faults) {
		name := at(t, n, "metadata", "name").Text
		switch at(t, n, "kind").Text {
		case "Deployment":
			pods[name] = at(t, n, "spec", "template", "spec")
		case "Service":
			services[name] = at(t, n, "spec")
		}
	}
	if all := faults.All(); len(all) > 0 || len(pods) != 2 || len(services) != 2 {
		t.Fatalf("%v, %d pods, %d services", all, len(pods), len(services))
	}
	dir := root + "/examples/gateway-per-group/"
	for group, pod := range pods {
		text := read(t, dir+group+"/"+group+".yaml")
		c := at(t, pod, "containers").Items[0]
		if args := at(t, c, "args").Items; args[0].Text != "run" || args[1].Text != "/flows/"+group {
			t.Errorf("%s: it is run with %s", group, at(t, c, "args").Span.Text())
		}
		var variables []string
		for _, m := range regexp.MustCompile(`env\.([A-Z]+)`).FindAllStringSubmatch(text, -1) {
			variables = append(variables, m[1])
		}
		var set []string
		for _, e := range at(t, c, "env").Items {
			set = append(set, at(t, e, "name").Text)
		}
		if !slices.Equal(sorted(set), sorted(variables)) {
			t.Errorf("%s: variables %v are set, %v are read", group, set, variables)
		}
		port := at(t, at(t, c, "ports").Items[0], "containerPort").Text
		if !strings.Contains(text, `listen: ":`+port+`"`) {
			t.Errorf("%s: it does not listen on %s", group, port)
		}
		for _, mount := range at(t, c, "volumeMounts").Items {
			name, path := at(t, mount, "name").Text, at(t, mount, "mountPath").Text
			if path == flows.DefaultSecrets {
				if !strings.Contains(text, "$(secret.") {
					t.Errorf("%s: it has a secret that it does not read", group)
				}
				continue
			}
			if path != "/flows/"+name || len(glob(t, "/examples/gateway-per-group/"+name+"/*.yaml")) == 0 {
				t.Errorf("%s: %s is mounted at %s", group, name, path)
			}
		}
		if at(t, services[group], "selector", "app").Text != group {
			t.Errorf("%s: the service is for %s", group, at(t, services[group], "selector").Span.Text())
		}
	}
}
