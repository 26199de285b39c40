package policies

// All are the policies in the order in which requests go through them. The
// reason for each place stands with the policy.
func All() []Kind {
	return []Kind{
		SecurityHeaders,
		IP,
		Bot,
		CORS,
		Maintenance,
		CSRF,
		AnyOf,
		MTLS,
		HMAC,
		APIKey,
		Basic,
		JWT,
		Introspection,
		OIDC,
		ExtAuth,
		Shed,
		Authorize,
		RateLimit,
		Quota,
		Concurrency,
		Bandwidth,
		Compress,
		Headers,
		Cache,
		Validate,
	}
}
