package discovery

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// kubernetes lists the EndpointSlices of a service and watches them, as a pod
// with its service account, by plain HTTP requests: the library of Kubernetes adds
// more than 20 MB to a program.
//
// A list is told apart from changes by its resourceVersion. A watch goes on
// from the last one that was seen, bookmarks included, so that a connection
// that ends, as they all do after some minutes, costs no list. When the version
// is too old (410 Gone) all is listed anew.
type kubernetes struct {
	location Location
	options  Options
}

func newKubernetes(l Location, o Options) *kubernetes { return &kubernetes{l, o} }

const (
	// watchTime is how long the server is asked to hold a watch, before jitter.
	watchTime = 5 * time.Minute
	// watchIdle is how long a watch may be silent. Servers send a bookmark about
	// every minute; one that does not is asked again, which costs it little.
	watchIdle = 75 * time.Second
	listTime  = 30 * time.Second
	listLimit = 500 // slices in a page
)

// errExpired is the server's answer that it does not remember a version.
var errExpired = errors.New("the resource version has expired")

// Watch is what [Source] asks for.
func (k *kubernetes) Watch(ctx context.Context, found func([]Target), failed func(error)) {
	var pause backoff
	for {
		err := k.session(ctx, found, &pause, failed)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errExpired) {
			failed(err)
		}
		if !sleep(ctx, pause.next()) {
			return
		}
	}
}

// session lists once, and watches until that does not go on.
func (k *kubernetes) session(ctx context.Context, found func([]Target), pause *backoff, failed func(error)) error {
	api, namespace, err := k.open()
	if err != nil {
		return err
	}
	defer api.close()
	k = k.in(namespace)
	path := "/apis/discovery.k8s.io/v1/namespaces/" + namespace + "/endpointslices?labelSelector=" +
		url.QueryEscape("kubernetes.io/service-name="+k.location.name)
	slices, version, err := k.list(ctx, api, path)
	if err != nil {
		return k.explained(err)
	}
	tell := func() {
		if targets, err := k.targets(slices); err != nil {
			failed(err)
		} else {
			found(targets)
		}
	}
	tell()
	for {
		started := time.Now()
		if err := k.follow(ctx, api, path, slices, &version, tell); err != nil {
			if errors.Is(err, errExpired) || ctx.Err() != nil {
				return err
			}
			failed(k.explained(err))
		} else if time.Since(started) > firstPause {
			pause.reset()
		}
		if !sleep(ctx, pause.next()) {
			return ctx.Err()
		}
	}
}

// open reads what a pod is told of its cluster, each time anew: certificates
// are renewed, too.
func (k *kubernetes) open() (api *registry, namespace string, err error) {
	o := k.options
	namespace = k.location.namespace
	if namespace == "" {
		if namespace, err = tokenFile(filepath.Join(o.ServiceAccount, "namespace"))(); err != nil {
			return nil, "", err
		}
		if !validLabel(namespace) {
			return nil, "", fmt.Errorf("not in a pod with a service account (%s tells no namespace): name one, k8s://NAMESPACE/%s", o.ServiceAccount, k.location.name)
		}
	}
	base, authorities := "", ""
	if len(k.location.servers) > 0 {
		base = k.location.servers[0]
	} else {
		host, port := o.Getenv("KUBERNETES_SERVICE_HOST"), o.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" {
			return nil, "", errors.New("not in a pod: KUBERNETES_SERVICE_HOST is not set; elsewhere, run kubectl proxy and add ?server=http://127.0.0.1:8001")
		}
		base = "https://" + net.JoinHostPort(host, first(port, "443"))
		authorities = filepath.Join(o.ServiceAccount, "ca.crt")
	}
	if api, err = newRegistry(o, base, authorities); err != nil {
		return nil, "", err
	}
	if strings.HasPrefix(base, "https://") { // a token is not sent in the clear
		api.token = tokenFile(filepath.Join(o.ServiceAccount, "token"))
		api.header = func(h http.Header, token string) { h.Set("Authorization", "Bearer "+token) }
	}
	return api, namespace, nil
}

// in is k with the namespace that it means.
func (k *kubernetes) in(namespace string) *kubernetes {
	l := k.location
	if l.namespace == "" {
		l.namespace = namespace
		if l.host == l.name {
			l.host += "." + namespace + ".svc"
		}
	}
	return &kubernetes{l, k.options}
}

// explained adds what can be done about an error.
func (k *kubernetes) explained(err error) error {
	var status *statusError
	if errors.As(err, &status) {
		switch status.status {
		case http.StatusForbidden:
			return fmt.Errorf("%w (give the service account a Role in %s with get, list and watch on endpointslices of discovery.k8s.io)", err, k.location.namespace)
		case http.StatusUnauthorized:
			return fmt.Errorf("%w (the token in %s is not accepted)", err, k.options.ServiceAccount)
		}
	}
	return err
}

type sliceList struct {
	Metadata struct{ ResourceVersion, Continue string }
	Items    []endpointSlice
}

func (k *kubernetes) list(ctx context.Context, api *registry, path string) (map[string]endpointSlice, string, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	slices := map[string]endpointSlice{}
	page := path + "&limit=" + strconv.Itoa(listLimit)
	for next := page; ; {
		resp, err := api.get(ctx, next)
		if err != nil {
			return nil, "", gone(err)
		}
		var list sliceList
		err = decode(resp.Body, &list)
		resp.Body.Close()
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", api.base, plain(err))
		}
		for _, s := range list.Items {
			slices[s.Metadata.Name] = s
		}
		if list.Metadata.Continue == "" {
			if list.Metadata.ResourceVersion == "" {
				return nil, "", fmt.Errorf("%s: the list has no resourceVersion: is this Kubernetes?", api.base)
			}
			return slices, list.Metadata.ResourceVersion, nil
		}
		next = page + "&continue=" + url.QueryEscape(list.Metadata.Continue)
	}
}

// gone turns status 410 into errExpired.
func gone(err error) error {
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusGone {
		return errExpired
	}
	return err
}

// event is one of a watch.
type event struct {
	Type   string
	Object json.RawMessage
}

// follow watches from a version until the server ends the watch, which is no
// error. It keeps the slices and the version up to date.
func (k *kubernetes) follow(ctx context.Context, api *registry, path string, slices map[string]endpointSlice, version *string, tell func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(watchIdle, func() { cancel(errIdle) })
	defer idle.Stop()
	hold := watchTime/2 + rand.N(watchTime/2)
	resp, err := api.get(ctx, path+"&watch=1&allowWatchBookmarks=true&timeoutSeconds="+strconv.Itoa(int(hold.Seconds()))+
		"&resourceVersion="+url.QueryEscape(*version))
	if err != nil {
		return gone(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) && len(line) == 0 || context.Cause(ctx) == errIdle {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: the watch broke off: %w", api.base, plain(err))
		}
		idle.Reset(watchIdle)
		if len(line) == 0 {
			continue
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: the watch sent what is no event: %w", api.base, err)
		}
		if err := e.apply(slices, version); err != nil {
			return fmt.Errorf("%s: %w", api.base, err)
		}
		tell()
	}
}

// errIdle ends a watch that was silent for too long.
var errIdle = errors.New("the watch is silent")

func (e event) apply(slices map[string]endpointSlice, version *string) error {
	if e.Type == "ERROR" {
		var status struct {
			Code    int
			Message string
		}
		if err := json.Unmarshal(e.Object, &status); err != nil {
			return err
		}
		if status.Code == http.StatusGone {
			return errExpired
		}
		return &statusError{status.Code, status.Message}
	}
	var s endpointSlice
	if err := json.Unmarshal(e.Object, &s); err != nil {
		return fmt.Errorf("the watch sent what is no EndpointSlice: %w", err)
	}
	if s.Metadata.ResourceVersion == "" {
		return fmt.Errorf("the watch sent a %s without resourceVersion", e.Type)
	}
	switch e.Type {
	case "ADDED", "MODIFIED":
		slices[s.Metadata.Name] = s
	case "DELETED":
		delete(slices, s.Metadata.Name)
	case "BOOKMARK":
	default:
		return fmt.Errorf("the watch sent an unknown event %q", e.Type)
	}
	*version = s.Metadata.ResourceVersion
	return nil
}

// readLine reads a line of at most maxAnswer bytes, without its end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case len(line) > maxAnswer:
			return nil, fmt.Errorf("an event is larger than %d MB", maxAnswer>>20)
		case err != bufio.ErrBufferFull:
			return line, err
		}
	}
}
