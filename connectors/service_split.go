package connectors

import (
	"slices"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/mesh"
)

// serviceSplit is where a service runs, and how its calls are shared between its
// versions.
type serviceSplit struct {
	Endpoints []dsl.String             `yaml:"endpoints" doc:"Write this or versions. The base URLs of the servers that do the same work, or where to look for them: dns://NAME:PORT, dns+srv://NAME, k8s://NAMESPACE/SERVICE:PORT, consul://SERVICE, file:PATH; with +https if the servers speak TLS, as in dns+https://NAME."`
	Versions  map[string]versionConfig `yaml:"versions" doc:"The versions of the service by name, in place of endpoints. A call goes to one of them with all its attempts."`
	Sticky    *stickyConfig            `yaml:"sticky" doc:"What of a request keeps it with one version: a user sees the old or the new one, not both in turn. Requests without it are shared by weight."`
	Mirror    *mirrorConfig            `yaml:"mirror" doc:"Copies calls to a version, to see what it does with what really comes. A caller never gets to see, nor waits for, what becomes of a copy."`
}

type versionConfig struct {
	Endpoints []dsl.String `yaml:"endpoints" doc:"Where this version runs, as endpoints of a service are written." required:"true"`
	Weight    int          `yaml:"weight" doc:"Its share of the calls, in proportion to the weights of the others. With 0 it gets none but those of when, and of versions that fall back to it." required:"true" min:"0" max:"1000"`
	When      *whenConfig  `yaml:"when" doc:"Requests that go to this version whatever the weights are. Of several versions the one that is written first decides."`
	Fallback  dsl.String   `yaml:"fallback" doc:"The version that takes the calls while no endpoint of this one can be used. Without it they fail."`
}

type whenConfig struct {
	Header dsl.String `yaml:"header" doc:"The header that is looked at, of the request that the service gets." required:"true"`
	Is     dsl.String `yaml:"is" doc:"The value that it has then." required:"true"`
}

type stickyConfig struct {
	Header dsl.String `yaml:"header" doc:"The header whose value decides."`
	Cookie dsl.String `yaml:"cookie" doc:"The cookie whose value decides. Write header or cookie."`
}

type mirrorConfig struct {
	To         dsl.String   `yaml:"to" doc:"The version that gets the copies. Its weight may be 0." required:"true"`
	Share      dsl.Percent  `yaml:"share" doc:"The share of the calls, of those that go to other versions, that are copied." default:"100%"`
	Unsafe     bool         `yaml:"unsafe" doc:"Copies calls of all methods. Without it only GET, HEAD and OPTIONS are copied: where versions share a database, a copy writes a second time."`
	Timeout    dsl.Duration `yaml:"timeout" doc:"How long a copy may take. Default: what one attempt may." min:"1ms"`
	Concurrent int          `yaml:"concurrent" doc:"How many copies may be under way. What is more is not copied." default:"64" min:"1"`
}

// misread reports whether endpoints or versions are written that could not be
// read: that has been told, and the rest cannot be judged without them.
func (c *serviceSplit) misread(at *dsl.Node) bool {
	if versions := at.Field("versions"); versions != nil && len(versions.Fields) > len(c.Versions) {
		return true
	}
	if len(c.Endpoints)+len(c.Versions) > 0 {
		return false
	}
	return slices.ContainsFunc(at.Fields, func(f dsl.Field) bool {
		_, meant := dsl.Nearest(f.Key.Text, []string{"endpoints", "versions"})
		return meant && (len(f.Value.Items)+len(f.Value.Fields) > 0 || f.Value.Kind == dsl.Scalar)
	})
}

func (c *serviceSplit) configure(_ dsl.Reporter, at *dsl.Node, to *mesh.Config) bool {
	if c.misread(at) {
		return false
	}
	if c.Sticky != nil {
		to.Sticky = mesh.Sticky{Header: c.Sticky.Header.Value, Cookie: c.Sticky.Cookie.Value}
	}
	if m := c.Mirror; m != nil {
		to.Mirror = mesh.Mirror{To: m.To.Value, Share: float64(m.Share), Unsafe: m.Unsafe, Timeout: time.Duration(m.Timeout), Concurrent: m.Concurrent}
	}
	all := slices.Clone(c.Endpoints)
	for _, e := range c.Endpoints {
		to.Endpoints = append(to.Endpoints, e.Value)
	}
	versions := at.Field("versions")
	if versions == nil {
		versions = &dsl.Node{}
	}
	for _, field := range versions.Fields { // in the order in which they are written
		written, ok := c.Versions[field.Key.Text]
		if !ok {
			continue // it could not be read
		}
		v := mesh.Version{Name: field.Key.Text, Weight: written.Weight, Fallback: written.Fallback.Value}
		for _, e := range written.Endpoints {
			v.Endpoints = append(v.Endpoints, e.Value)
		}
		if w := written.When; w != nil {
			v.When = mesh.When{Header: w.Header.Value, Is: w.Is.Value}
		}
		to.Versions, all = append(to.Versions, v), append(all, written.Endpoints...)
	}
	to.Discovery = discoveryOf(all)
	return true
}
