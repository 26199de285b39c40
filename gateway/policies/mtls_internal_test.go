package policies

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"testing"
)

func TestIssuersAreNotWhatThoseBelowThemAreCalled(t *testing.T) {
	cert := func(name string) *x509.Certificate {
		return &x509.Certificate{Raw: []byte(name), Subject: pkix.Name{CommonName: name}}
	}
	leaf, partners, other := cert("till"), cert("partners"), cert("other")
	byName := &mtls{issuers: []string{"CN=partners"}}
	byHash := &mtls{prints: map[[sha256.Size]byte]bool{sha256.Sum256(partners.Raw): true}}
	for _, c := range []struct {
		name         string
		chains       [][]*x509.Certificate
		named, known bool
	}{
		{"issued by it", [][]*x509.Certificate{{leaf, partners}}, true, true},
		{"issued below it", [][]*x509.Certificate{{leaf, cert("branch"), partners}}, true, true},
		{"issued by another", [][]*x509.Certificate{{leaf, other}}, false, false},
		{"issued by another, which calls one below it so", [][]*x509.Certificate{{leaf, {Raw: []byte("made up"), Subject: partners.Subject}, other}}, false, false},
		{"one of several ways leads to it", [][]*x509.Certificate{{leaf, other}, {leaf, partners}}, true, true},
		{"below another, by its hash", [][]*x509.Certificate{{leaf, partners, other}}, false, true},
		{"it calls itself so", [][]*x509.Certificate{{partners}}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if byName.issuedBy(c.chains) != c.named || byHash.issuedBy(c.chains) != c.known {
				t.Errorf("by name %v, by hash %v", byName.issuedBy(c.chains), byHash.issuedBy(c.chains))
			}
		})
	}
}

// FuzzClientCert holds that what a proxy passes on is a certificate in the one way
// to write it, or nothing.
func FuzzClientCert(f *testing.F) {
	for _, seed := range []string{"", "::", ":AA==:", ":AA==:;a=1", ":MIIB:, :MIIB:", "\t:AA==: "} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, field, chain string) {
		leaf, between, err := readClientCert(field, []string{chain})
		if err != nil {
			return
		}
		if leaf == nil || between == nil || field == "" {
			t.Fatalf("%q is taken", field)
		}
		if _, err := binaryCertificate(":" + base64.StdEncoding.EncodeToString(leaf.Raw) + ":"); err != nil {
			t.Error(err)
		}
	})
}

// FuzzCertificateList holds that no file ends the process, and that who is let in
// has a name.
func FuzzCertificateList(f *testing.F) {
	for _, seed := range []string{"till-7 shop-7 plan=gold expires=2030-01-01T00:00:00Z\n", "\"Till of Ada\" ada\n# none\n", "\"\" x", "a", "\"\\x00\" b"} {
		f.Add("cn", seed)
	}
	f.Add("fingerprint", "AA:BB till")
	f.Fuzz(func(t *testing.T, kind, text string) {
		known, err := readCertificateList(kind, []byte(text))
		if err != nil {
			return
		}
		for _, entry := range known {
			if entry.consumer.Name == "" {
				t.Error("a certificate of nobody is taken")
			}
		}
	})
}
