package steps

import (
	"context"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

type sampleConfig struct {
	Sample dsl.Percent `yaml:"sample" doc:"The share of the requests." required:"true"`
	By     dsl.Text    `yaml:"by" doc:"Requests of which this text is the same fare the same, here and in other processes. Without it, chance decides."`
	blockConfig
}

// Sample does something for a share of the requests.
var Sample = dsl.Define("sample",
	"Runs steps for a share of the requests. For the others it does nothing, and its result is null.",
	compileSample,
	dsl.Example{Name: "one of a hundred customers is looked at more closely", YAML: `
sample: 1%
by: $(params.id)
steps:
  - log: customer $(params.id) ordered
    fields: { order: $(body) }
`})

type sample struct {
	share  float64
	by     *dsl.TextTemplate // nil: chance
	at     dsl.Span          // of by
	block  block
	result engine.Slot
	passed func() // for a Probe
}

func compileSample(c *engine.Compiler, at *dsl.Node, cfg *sampleConfig) engine.Step {
	s := &sample{share: float64(cfg.Sample), result: c.Result()}
	if cfg.By.Node != nil {
		s.by, s.at = distinctKey(c, cfg.By.Node, "all of them would fare the same", "write an expression, such as $(params.id), or remove by"), cfg.By.Node.Span
	}
	s.block = compileBlock(c, at, "sample", &cfg.blockConfig)
	s.result.Hold(s.result.Static().OrNull())
	s.passed = c.Way(at.Field("sample").KeySpan(), "no sample")
	return s
}

// Describe is what engine.Describer asks for.
func (s *sample) Describe(p *engine.PlanStep) {
	p.Detail = "by chance"
	if s.by != nil {
		p.Detail = "by " + s.at.Text()
	}
}

// Run is what engine.Step asks for.
func (s *sample) Run(ctx context.Context, x *engine.Exchange) error {
	point := rand.Float64()
	if s.by != nil {
		text, err := s.by.String(ctx, x)
		if err != nil {
			return err
		}
		point = pointOf(text)
	}
	if point >= s.share {
		if s.passed != nil {
			s.passed()
		}
		return nil
	}
	return s.block.into(ctx, x, s.result)
}

// pointOf puts a text somewhere in [0, 1), evenly. FNV alone leaves the high
// bits of short texts alike; the finalizer of MurmurHash3 spreads them.
func pointOf(text string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	n := h.Sum64()
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	n *= 0xc4ceb9fe1a85ec53
	n ^= n >> 33
	return float64(n>>11) / math.Exp2(53)
}
