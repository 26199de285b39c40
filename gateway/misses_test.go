package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-run/weir/dsl"
)

func TestMissesSayWhyARouteIsNotChosen(t *testing.T) {
	var routes []Route
	for _, r := range []string{"GET /users", "GET /users/{id:[0-9]+}", "POST /users/{id}", " /users/{id}", "GET /users/{id}/orders", "GET /files/{path:.+}", "GET /stock/{sku}"} {
		method, path, _ := strings.Cut(r, " ")
		routes = append(routes, Route{Method: method, Path: path, Name: r, Handler: http.NotFoundHandler()})
	}
	var ds dsl.Diagnostics
	rt := NewRouter(routes, &ds)
	if rt == nil {
		t.Fatal(ds.All())
	}
	for request, want := range map[string]string{
		"GET /users/7": `
POST /users/{id}: takes POST, not GET
/users/{id}: takes it, too, but GET /users/{id:[0-9]+} is more specific
GET /users/{id}/orders: wants more: the path ends before orders`,
		"GET /users/ada": `
POST /users/{id}: takes POST, not GET
GET /users/{id:[0-9]+}: wants {id:[0-9]+}, which "ada" does not match
GET /users/{id}/orders: wants more: the path ends before orders`,
		"POST /users/7": `
GET /users/{id:[0-9]+}: takes GET, not POST
/users/{id}: takes every method, and POST /users/{id} this one
GET /users/{id}/orders: wants more: the path ends before orders`,
		"GET /userz": `
GET /users: wants "users", not "userz"`,
		"GET /files/": `
GET /files/{path:.+}: wants something for {path:.+}`,
		"GET /users/7/orders/8": `
GET /users/{id}/orders: ends before /8
GET /users/{id:[0-9]+}: ends before /orders/8
POST /users/{id}: ends before /orders/8`,
		"GET /nowhere": "",
	} {
		method, path, _ := strings.Cut(request, " ")
		var got strings.Builder
		for _, m := range rt.Misses(Asked{Method: method, URL: &url.URL{Path: path}}, 3) {
			got.WriteString("\n" + m.Route.String() + ": " + m.Why)
		}
		if got.String() != want {
			t.Errorf("%s: got%s\nwant%s", request, got.String(), want)
		}
	}
}
