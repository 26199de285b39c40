package mesh_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/weir-run/weir/mesh"
)

func backend(name string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s answers %s", name, r.URL)
	}))
}

// A service is an http.RoundTripper, so it goes wherever one is asked for.
func ExampleOpen() {
	one, two := backend("one"), backend("two")
	defer one.Close()
	defer two.Close()
	one.Close() // it is down

	users, err := mesh.Open("users", mesh.Config{
		Endpoints: []string{one.URL, two.URL + "/v2"},
		Timeout:   800 * time.Millisecond,
		Retry:     mesh.Retry{Attempts: 3},
		Breaker:   mesh.Breaker{Ratio: 0.5, Of: 20},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer users.Close()

	client := http.Client{Transport: users}
	resp, err := client.Get("http://users/customers/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: two answers /v2/customers/7
}

// Do takes the reply as a whole, and tells how it was had.
func ExampleService_Do() {
	one := backend("one")
	defer one.Close()
	users, err := mesh.Open("users", mesh.Config{Endpoints: []string{one.URL}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer users.Close()

	req, _ := http.NewRequest("GET", "/customers/7", nil)
	call := mesh.Call{Buffer: true}
	if _, err := users.Do(req, &call); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, attempts: %d\n", call.Body, call.Attempts)
	// Output: one answers /customers/7, attempts: 1
}
