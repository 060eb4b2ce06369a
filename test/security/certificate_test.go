package security

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// A client's certificate, given in code, is a login of its own: it has rights, and a wrong one is refused.
func TestClientCertificates(t *testing.T) {
	k := servers.SecureKafka(t)
	n := newNames(t, k)
	n.allow(t, k, servers.ClientPrincipal)
	config := func(t *testing.T, pair servers.KeyPair) sluice.Config {
		certificate, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		cfg := encrypted(k.MutualTLS, k.Certificates.CA).config(t, n.group)
		cfg.TLS.Certificates = []tls.Certificate{certificate}
		return cfg
	}
	t.Run("good", func(t *testing.T) { flows(t, config(t, k.Certificates.Client), n) })
	for name, pair := range map[string]servers.KeyPair{
		"expired": k.Certificates.ExpiredClient, "signed by a stranger": k.Certificates.StrangerClient,
	} {
		t.Run(name, func(t *testing.T) {
			app, err := sluice.New(config(t, pair))
			if err != nil {
				t.Fatal(err)
			}
			err = app.Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), k.MutualTLS) || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("Check: %v", err)
			}
			t.Logf("Check: %v", err)
		})
	}
}
