package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
)

// curl stands in for curl in the commands of the documentation, so that they
// need nothing but this test binary: -s, -f, -i, -X, -H, -d and -o.
func curl() {
	if err := fetch(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(1)
	}
}

func fetch(args []string, w io.Writer) error {
	f := flag.NewFlagSet("curl", flag.ContinueOnError)
	f.Bool("s", false, "")
	fail := f.Bool("f", false, "")
	head := f.Bool("i", false, "")
	method := f.String("X", "GET", "")
	data := f.String("d", "", "")
	out := f.String("o", "", "")
	header := http.Header{}
	f.Func("H", "", func(s string) error {
		name, value, _ := strings.Cut(s, ":")
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
	if err := f.Parse(separate(args)); err != nil {
		return err
	}
	if *data != "" && *method == "GET" {
		*method = "POST"
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	url := f.Arg(0)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	req, err := http.NewRequest(*method, url, strings.NewReader(*data))
	if err != nil {
		return err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if *fail && resp.StatusCode >= 400 {
		return fmt.Errorf("the answer was %s", resp.Status)
	}
	if *out != "" {
		w = io.Discard
	}
	if *head {
		fmt.Fprintf(w, "HTTP/1.1 %s\n", resp.Status)
		var lines []string
		for name, values := range resp.Header {
			lines = append(lines, fmt.Sprintf("%s: %s", name, strings.Join(values, ", ")))
		}
		slices.Sort(lines)
		fmt.Fprintf(w, "%s\n\n", strings.Join(lines, "\n"))
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// separate takes single letters out of one word: -si is -s -i.
func separate(args []string) []string {
	var out []string
	for _, a := range args {
		if len(a) < 2 || a[0] != '-' || a[1] == '-' {
			out = append(out, a)
			continue
		}
		for _, letter := range a[1:] {
			out = append(out, "-"+string(letter))
		}
	}
	return out
}
