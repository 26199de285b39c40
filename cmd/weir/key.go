package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/gateway/policies"
)

func (p *process) keyCommand() *cobra.Command {
	var plan, signs string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "key CONSUMER",
		Short: "Make a key for the policy api_key or hmac",
		Long: `Make a key for the policy api_key, or with --signs for the policy hmac.

What is printed is the line for the file of the policy. Of an API key it has the
hash, of a key that signs by Ed25519 the public part, and the secret of one by HMAC.
What the consumer gets is shown on standard error, and nowhere else ever.`,
		Example: `  weir key till-7 >> partners.keys
  weir key till-7 --plan gold --lasts 2160h >> partners.keys
  weir key till-7 --signs ed25519 >> partners.signers`,
		Args:              one("consumer"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			var expires time.Time
			if lasts > 0 {
				expires = time.Now().Add(lasts)
			}
			made := policies.NewAPIKey
			if signs != "" {
				made = func(consumer, plan string, expires time.Time) (string, string, error) {
					return policies.NewSigner(signs, consumer, plan, expires)
				}
			}
			key, line, err := made(args[0], plan, expires)
			if err != nil {
				return usagef("%v", err)
			}
			if _, err := fmt.Fprintln(p.stdout, line); err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stderr, key)
			return err
		},
	}
	cmd.Flags().StringVar(&plan, "plan", "", "the plan of the consumer")
	cmd.Flags().StringVar(&signs, "signs", "", "what signatures it is for: ed25519 or hmac-sha256")
	cmd.Flags().DurationVar(&lasts, "lasts", 0, "how long the key holds; 0 is without end")
	return cmd
}
