package sluice_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

const password = `Tr0ub4dor"&\3`

// authority signs certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// server is what a broker listens with; its certificate names the host.
func (a *authority) server(t *testing.T, host string) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func (a *authority) client() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// file is the authority's certificate in a file.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, a.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// realCluster listens on 127.0.0.1 and has the topic orders.
func realCluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "orders")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func secured(t *testing.T, addrs []string) sluice.Config {
	return sluice.Config{Brokers: addrs, Group: "g", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// consumes demands that an app gets a record through.
func consumes(t *testing.T, cfg sluice.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p := newProducer(t, cfg.Producer())
	defer func() { _ = p.Close(context.Background()) }()
	if err := p.Send(ctx, textRecord("orders", "through")); err != nil {
		t.Fatalf("Send: %v", err)
	}
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	got := ""
	r := goodRoute("orders")
	r.Handle = func(_ context.Context, m sluice.Message[string]) error { got = m.Value; stop(); return nil }
	if err := sluice.Add(app, r); err != nil {
		t.Fatal(err)
	}
	if err := app.Run(run); err != nil || got != "through" {
		t.Fatalf("Run: %v; got %q", err, got)
	}
}

// fails demands that Check and Run fail within 10 s, naming the address and not the password.
func fails(t *testing.T, cfg sluice.Config, says ...string) {
	t.Helper()
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := sluice.Add(app, goodRoute("orders")); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
		began := time.Now()
		err := f(context.Background())
		if took := time.Since(began); took > 10*time.Second+100*time.Millisecond {
			t.Errorf("%s took %v", what, took)
		}
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		t.Logf("%s: %v", what, err)
		for _, s := range append(says, cfg.Brokers...) {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", what, err, s)
			}
		}
		if strings.Contains(err.Error(), "Tr0ub4dor") {
			t.Errorf("%s tells the password: %v", what, err)
		}
	}
}

func TestLogins(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c := realCluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "alice", password))
			cfg := secured(t, c.ListenAddrs())
			cfg.SASL = &sluice.SASL{Mechanism: mechanism, Username: "alice", Password: password}
			consumes(t, cfg)
			wrong := cfg
			wrong.SASL = &sluice.SASL{Mechanism: mechanism, Username: "alice", Password: password + "x"}
			fails(t, wrong)
			wrong.SASL = &sluice.SASL{Mechanism: mechanism, Username: "bob", Password: password}
			fails(t, wrong)
			wrong.SASL = nil
			fails(t, wrong)
		})
	}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	c := realCluster(t, kfake.TLS(ca.server(t, "127.0.0.1")))
	cfg := secured(t, c.ListenAddrs())
	cfg.TLS = ca.client()
	consumes(t, cfg)

	stranger := cfg
	stranger.TLS = newAuthority(t).client()
	fails(t, stranger, "certificate")

	plain := cfg
	plain.TLS = nil
	fails(t, plain)
}

// A broker that speaks no TLS waits for the rest of what it takes for a long request.
func TestTLSAgainstAPlainBroker(t *testing.T) {
	c := realCluster(t)
	cfg := secured(t, c.ListenAddrs())
	cfg.TLS = newAuthority(t).client()
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := app.Check(ctx); err == nil || !strings.Contains(err.Error(), cfg.Brokers[0]) || !strings.Contains(err.Error(), "does TLS match?") {
		t.Fatalf("Check: %v", err)
	}
}

func TestAnAddressWhereNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := secured(t, []string{address})
	cfg.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "alice", Password: password}
	fails(t, cfg, "refused")
}

// TestASilentListener takes the whole 10 s, in virtual time.
func TestASilentListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := secured(t, []string{"silent.example:9092"})
		cfg.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: "alice", Password: password}
		cfg.ClientOptions = []kgo.Opt{kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			go func() { _, _ = io.Copy(io.Discard, theirs) }() // takes everything and answers nothing
			conn := tls.Client(ours, &tls.Config{ServerName: "silent.example", MinVersion: tls.VersionTLS12})
			err := conn.HandshakeContext(ctx)
			return conn, err
		})}
		fails(t, cfg, "no answer")
	})
}

func TestPropertiesWithAnAuthority(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	named := realCluster(t, kfake.TLS(ca.server(t, "127.0.0.1")))
	other := realCluster(t, kfake.TLS(ca.server(t, "broker.example")))
	read := func(c *kfake.Cluster, a *authority, more string) sluice.Config {
		cfg, err := sluice.FromProperties(strings.NewReader(fmt.Sprintf(
			"bootstrap.servers=%s\ngroup.id=g\nsecurity.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location=%s\n%s\n",
			strings.Join(c.ListenAddrs(), ","), a.file(t), more)))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
		return cfg
	}
	const anyName, https = "ssl.endpoint.identification.algorithm=", "ssl.endpoint.identification.algorithm=https"
	for name, more := range map[string]string{"default": "", "https": https, "any name": anyName} {
		t.Run("the right name, "+name, func(t *testing.T) { consumes(t, read(named, ca, more)) })
		t.Run("an unknown authority, "+name, func(t *testing.T) { fails(t, read(named, stranger, more), "certificate") })
	}
	t.Run("another name, any name", func(t *testing.T) { consumes(t, read(other, ca, anyName)) })
	t.Run("another name, default", func(t *testing.T) { fails(t, read(other, ca, ""), "certificate") })
	t.Run("another name, https", func(t *testing.T) { fails(t, read(other, ca, https), "certificate") })
	t.Run("an unknown authority and another name", func(t *testing.T) { fails(t, read(other, stranger, anyName), "certificate") })
}

func TestPropertiesWithALogin(t *testing.T) {
	ca := newAuthority(t)
	c := realCluster(t, kfake.TLS(ca.server(t, "127.0.0.1")), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "alice", password))
	file := ca.file(t)
	read := func(secret string) sluice.Config {
		inJAAS := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret)
		inFile := strings.ReplaceAll(inJAAS, `\`, `\\`)
		cfg, err := sluice.FromProperties(strings.NewReader(
			"bootstrap.servers=" + c.ListenAddrs()[0] + "\ngroup.id=g\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.ca.location=" + file +
				"\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  username=\"alice\" \\\n  password=\"" + inFile + "\";\n"))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	consumes(t, read(password))
	fails(t, read(password+"x"))
}
