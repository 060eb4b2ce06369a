package security

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// mutual shows a certificate from files.
func mutual(k *servers.SecureKafkaServer, lines ...string) access {
	return access{k.MutualTLS, append([]string{"security.protocol=SSL", "ssl.truststore.location=" + k.Certificates.CA}, lines...)}
}

// A certificate is a login of its own, however its files are named.
func TestRecordsFlowWithACertificate(t *testing.T) {
	k := servers.SecureKafka(t)
	pair := k.Certificates.Client
	for name, a := range map[string]access{
		"Java's name":        mutual(k, "ssl.keystore.type=PEM", "ssl.keystore.location="+pair.Both),
		"librdkafka's names": mutual(k, "ssl.certificate.location="+pair.Certificate, "ssl.key.location="+pair.Key),
		"in the properties":  mutual(k, "ssl.keystore.certificate.chain="+inline(t, pair.Certificate), "ssl.keystore.key="+inline(t, pair.Key)),
		"TLS 1.2":            mutual(k, "ssl.keystore.location="+pair.Both, "ssl.enabled.protocols=TLSv1.2"),
		"any name":           mutual(k, "ssl.keystore.location="+pair.Both, "ssl.endpoint.identification.algorithm="),
	} {
		t.Run(name, func(t *testing.T) {
			for way, flow := range map[string]func(*testing.T, access, names, string){
				"library": flowsThroughLibrary, "program": flowsThroughProgram,
			} {
				t.Run(way, func(t *testing.T) {
					n := newNames(t, k)
					n.allow(t, k, servers.ClientPrincipal)
					flow(t, a, n, "")
				})
			}
		})
	}
}

// inline is a file as it stands in a properties file.
func inline(t *testing.T, file string) string {
	t.Helper()
	return strings.ReplaceAll(read(t, file), "\n", `\n`)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each wrong certificate has its own error.
func TestCertificatesThatAreRefused(t *testing.T) {
	k := servers.SecureKafka(t)
	c := k.Certificates
	for name, test := range map[string]struct {
		access access
		kind   error
	}{
		"expired":                         {mutual(k, "ssl.keystore.location="+c.ExpiredClient.Both), sluice.ErrCertificateExpired},
		"expired, TLS 1.2":                {mutual(k, "ssl.keystore.location="+c.ExpiredClient.Both, "ssl.enabled.protocols=TLSv1.2"), sluice.ErrCertificateExpired},
		"of a stranger":                   {mutual(k, "ssl.keystore.location="+c.StrangerClient.Both), sluice.ErrCertificateRefused},
		"none":                            {mutual(k), sluice.ErrCertificateRefused},
		"none, TLS 1.2":                   {mutual(k, "ssl.enabled.protocols=TLSv1.2"), sluice.ErrCertificateRefused},
		"the broker's has expired":        {encrypted(k.ExpiredSSL, c.CA), sluice.ErrCertificateExpired},
		"the broker's is of a stranger":   {encrypted(k.SSL, c.Stranger), sluice.ErrUnknownAuthority},
		"plain text where TLS is wanted":  {access{address: k.SSL}, sluice.ErrTLSMismatch},
		"TLS where plain text is wanted":  {encrypted(k.Plaintext, c.CA), sluice.ErrTLSMismatch},
		"no login where one is wanted":    {access{address: k.SASLPlaintext}, sluice.ErrLoginMismatch},
		"a login where none is wanted":    {login(k.Plaintext, "PLAIN", k.User), sluice.ErrLoginMismatch},
		"a wrong password":                {login(k.SASLPlaintext, "PLAIN", servers.User{Name: k.User.Name, Password: "wrong"}), sluice.ErrAuthentication},
		"a mechanism that is not offered": {login(k.ShortLogins, "SCRAM-SHA-512", k.User), sluice.ErrAuthentication},
	} {
		t.Run(name, func(t *testing.T) {
			n := names{"orders", "orders.dlq", "orders-to-sql"}
			err := newApp(t, test.access, n).Check(t.Context())
			t.Log(err)
			if name == "none, TLS 1.2" && errors.Is(err, sluice.ErrTLSMismatch) && strings.Contains(err.Error(), "demands a certificate") {
				test.kind = sluice.ErrTLSMismatch // Java 17.0.21 says "handshake failure" where 17.0.15 said what was wrong
			}
			if !errors.Is(err, test.kind) {
				t.Errorf("%v, want %v", err, test.kind)
			}
			file, _ := n.pipeline(t, test.access)
			if o := execute(t, "", "run", file, "--check"); o.code != 1 || !strings.Contains(o.stderr, test.kind.Error()) {
				t.Errorf("sluice %s ended with %d:\n%s", o.args, o.code, o.stderr)
			}
		})
	}
}

// A certificate that has ended is replaced on disk, certificate first and key last, and the client goes on without a restart.
func TestACertificateIsReplacedOnDisk(t *testing.T) {
	k := servers.SecureKafka(t)
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	replace := func(pair servers.KeyPair) {
		write(t, certificate, read(t, pair.Certificate))
		write(t, key, read(t, pair.Key))
	}
	replace(k.Certificates.ExpiredClient)
	cfg := access{address: k.MutualTLS}.config(t, "any")
	cfg.TLSFiles = sluice.TLSFiles{CA: k.Certificates.CA, Certificate: certificate, Key: key}
	producer, err := sluice.NewProducer(cfg.Producer())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close(context.Background()) }()
	if err := producer.Ping(t.Context()); !errors.Is(err, sluice.ErrCertificateExpired) || !strings.Contains(err.Error(), certificate) {
		t.Fatalf("before: %v", err)
	}
	replace(k.Certificates.Client)
	if err := producer.Ping(t.Context()); err != nil {
		t.Fatalf("after: %v", err)
	}
}
