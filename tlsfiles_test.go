package sluice_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// sign makes a certificate of a client, and its key, in PEM.
func (a *authority) sign(t *testing.T, name string, end time.Time) (certificate, key []byte) {
	t.Helper()
	private := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: end.Add(-2 * time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM(t, private)
}

func joined(certificate, key []byte) []byte { return slices.Concat(key, certificate) }

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// changed writes a file with a time of change that no earlier one had.
func changed(t *testing.T, file string, text []byte) {
	t.Helper()
	before, _ := os.Stat(file)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		if err := os.Chtimes(file, time.Time{}, before.ModTime().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

// shows is the name on the certificate that a client shows; a server of an authority demands one.
func shows(t *testing.T, a *authority, config *tls.Config) (string, error) {
	t.Helper()
	server := a.server(t, "127.0.0.1")
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	server.ClientCAs.AddCert(a.cert)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := make(chan string, 1)
	go func() {
		defer close(name)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		secured := tls.Server(conn, server)
		if secured.Handshake() == nil {
			name <- secured.ConnectionState().PeerCertificates[0].Subject.CommonName
		}
	}()
	config.ServerName = "127.0.0.1"
	conn, err := tls.Dial("tcp", l.Addr().String(), config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return <-name, nil
}

func TestTLSFilesAreReadAnew(t *testing.T) {
	dir := t.TempDir()
	files := sluice.TLSFiles{CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	old, renewed := newAuthority(t), newAuthority(t)
	certificate, key := old.sign(t, "old", time.Now().Add(time.Hour))
	changed(t, files.CA, old.pem)
	changed(t, files.Certificate, certificate)
	changed(t, files.Key, key)
	var log bytes.Buffer
	configs := sluice.TLSConfigs(nil, files, slog.New(slog.NewTextHandler(&log, nil)))
	is := func(what string, a *authority, want string) {
		t.Helper()
		if got, err := shows(t, a, configs()); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", what, got, err, want)
		}
	}
	is("at first", old, "old")

	second, secondKey := old.sign(t, "second", time.Now().Add(time.Hour))
	changed(t, files.Certificate, second)
	is("the key belongs to the old one", old, "old")
	is("and again", old, "old")
	if n := strings.Count(log.String(), "cannot be read"); n != 1 || !strings.Contains(log.String(), files.Certificate) {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	changed(t, files.Key, secondKey)
	is("both are there", old, "second")

	third, thirdKey := renewed.sign(t, "third", time.Now().Add(time.Hour))
	changed(t, files.CA, renewed.pem[:len(renewed.pem)/2])
	changed(t, files.Certificate, third)
	changed(t, files.Key, thirdKey)
	is("half an authority", old, "second")
	changed(t, files.CA, renewed.pem)
	is("another authority", renewed, "third")
	if _, err := shows(t, old, configs()); err == nil {
		t.Error("the old authority is trusted for ever")
	}
	for _, file := range []string{files.CA, files.Certificate, files.Key} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	is("nothing is there", renewed, "third")
	if strings.Contains(log.String(), "PRIVATE KEY") {
		t.Error("the log has the key")
	}
}

func TestWithoutItsFilesAClientTrustsNobody(t *testing.T) {
	ca := newAuthority(t)
	missing := filepath.Join(t.TempDir(), "ca.pem")
	for name, base := range map[string]*tls.Config{"none": nil, "an authority": ca.client()} {
		if _, err := shows(t, ca, sluice.TLSConfigs(base, sluice.TLSFiles{CA: missing}, nil)()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("base %s: %v", name, err)
		}
	}
}

func TestACertificateThatHasEndedIsNotShown(t *testing.T) {
	ca := newAuthority(t)
	both := filepath.Join(t.TempDir(), "both.pem")
	changed(t, both, joined(ca.sign(t, "late", time.Now().Add(-time.Minute))))
	configs := sluice.TLSConfigs(ca.client(), sluice.TLSFiles{Certificate: both}, nil)
	_, err := shows(t, ca, configs())
	if !errors.Is(err, sluice.ErrCertificateExpired) || !strings.Contains(err.Error(), both) || !strings.Contains(err.Error(), "CN=late") {
		t.Errorf("%v", err)
	}
	changed(t, both, joined(ca.sign(t, "renewed", time.Now().Add(time.Minute))))
	if got, err := shows(t, ca, configs()); err != nil || got != "renewed" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBadTLSFiles(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	certificate, key := ca.sign(t, "client", time.Now().Add(time.Hour))
	_, other := ca.sign(t, "client", time.Now().Add(time.Hour))
	file := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		changed(t, name, text)
		return name
	}
	crt, keyFile := file("crt", certificate), file("key", key)
	encrypted := file("encrypted", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	legacy := file("legacy", []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	for name, c := range map[string]struct {
		files       sluice.TLSFiles
		field, says string
	}{
		"no authority file":  {sluice.TLSFiles{CA: dir + "/none"}, "TLSFiles.CA", "no such file"},
		"no authority in it": {sluice.TLSFiles{CA: keyFile}, "TLSFiles.CA", "no certificate in PEM"},
		"no certificate":     {sluice.TLSFiles{Certificate: dir + "/none"}, "TLSFiles.Certificate", "no such file"},
		"no key":             {sluice.TLSFiles{Certificate: crt, Key: dir + "/none"}, "TLSFiles.Certificate", "no such file"},
		"no key in it":       {sluice.TLSFiles{Certificate: crt}, "TLSFiles.Certificate", "a certificate rather than a key"},
		"another's key":      {sluice.TLSFiles{Certificate: crt, Key: file("other", other)}, "TLSFiles.Certificate", "does not match"},
		"only a key":         {sluice.TLSFiles{Key: keyFile}, "TLSFiles.Key", "give TLSFiles.Certificate"},
		"an encrypted key":   {sluice.TLSFiles{Certificate: crt, Key: encrypted}, "TLSFiles.Certificate", "openssl pkey -in"},
		"an old one":         {sluice.TLSFiles{Certificate: crt, Key: legacy}, "TLSFiles.Certificate", "openssl pkey -in"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := goodConfig()
			cfg.TLSFiles = c.files
			if got := onlyMistake(t, cfg); got.Field != c.field || !strings.Contains(got.Problem, c.says) {
				t.Errorf("%+v, want %s and %q", got, c.field, c.says)
			}
			if _, err := sluice.NewProducer(cfg.Producer()); err == nil {
				t.Error("a producer takes it")
			}
		})
	}
}

func TestPropertiesOfCertificates(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	certificate, key := ca.sign(t, "client", time.Now().Add(time.Hour))
	crt, keyFile, both := filepath.Join(dir, "crt"), filepath.Join(dir, "key"), filepath.Join(dir, "both")
	changed(t, crt, certificate)
	changed(t, keyFile, key)
	changed(t, both, slices.Concat(key, certificate))
	line := func(text []byte) string { return strings.ReplaceAll(string(text), "\n", `\n`) }
	for name, c := range map[string]struct {
		text  string
		files sluice.TLSFiles
	}{
		"Java":       {"ssl.keystore.type=PEM\nssl.keystore.location=" + both, sluice.TLSFiles{Certificate: both}},
		"librdkafka": {"ssl.certificate.location=" + crt + "\nssl.key.location=" + keyFile, sluice.TLSFiles{Certificate: crt, Key: keyFile}},
		"authority":  {"ssl.keystore.location=" + both + "\nssl.ca.location=" + ca.file(t), sluice.TLSFiles{Certificate: both}},
		"inline":     {"ssl.keystore.certificate.chain=" + line(certificate) + "\nssl.keystore.key=" + line(key), sluice.TLSFiles{}},
	} {
		cfg, err := sluice.FromProperties(strings.NewReader("security.protocol=SSL\n" + c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if cfg.TLSFiles.Certificate != c.files.Certificate || cfg.TLSFiles.Key != c.files.Key || cfg.Producer().TLSFiles != cfg.TLSFiles {
			t.Errorf("%s: %+v", name, cfg.TLSFiles)
		}
		cfg.TLS.RootCAs = ca.client().RootCAs
		if got, err := shows(t, ca, sluice.TLSConfigs(cfg.TLS, cfg.TLSFiles, nil)()); err != nil || got != "client" {
			t.Errorf("%s shows %q, %v", name, got, err)
		}
	}
	for text, says := range map[string]string{
		"ssl.keystore.type=JKS\nssl.keystore.location=" + both:                "openssl pkcs12 -in",
		"ssl.keystore.location=" + crt:                                        "a certificate rather than a key",
		"ssl.key.location=" + keyFile:                                         "give ssl.certificate.location",
		"ssl.keystore.key=" + line(key):                                       "give both",
		"ssl.keystore.certificate.chain=x\nssl.keystore.key=" + line(key):     "failed to find",
		"ssl.key.password=hunter2\nssl.keystore.location=" + both:             "openssl pkey -in",
		"ssl.enabled.protocols=TLSv1.1":                                       "neither TLSv1.2 nor TLSv1.3",
		"ssl.certificate.location=" + dir + "/none\nssl.key.location=" + both: "no such file",
	} {
		all := propertyMistakes(t, "security.protocol=SSL\n"+text)
		if len(all) != 1 || !strings.Contains(all[0].Error(), says) || strings.Contains(all[0].Error(), "hunter2") || strings.Contains(all[0].Error(), "MI") {
			t.Errorf("%s: %v, want %q", text, all, says)
		}
	}
	for text, want := range map[string][2]uint16{
		"TLSv1.2": {tls.VersionTLS12, tls.VersionTLS12}, "TLSv1.3": {tls.VersionTLS13, tls.VersionTLS13},
		"TLSv1.3, TLSv1.2": {tls.VersionTLS12, tls.VersionTLS13},
	} {
		cfg, err := sluice.FromProperties(strings.NewReader("security.protocol=SSL\nssl.enabled.protocols=" + text))
		if err != nil || [2]uint16{cfg.TLS.MinVersion, cfg.TLS.MaxVersion} != want {
			t.Errorf("%s: %v, %+v", text, err, cfg.TLS)
		}
	}
}

func TestFilesThatAreHalfWrittenAreNotTaken(t *testing.T) {
	dir, ca, other := t.TempDir(), newAuthority(t), newAuthority(t)
	certificate, key := ca.sign(t, "client", time.Now().Add(time.Hour))
	files := sluice.TLSFiles{CA: filepath.Join(dir, "ca"), Certificate: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key")}
	bundle, chain := slices.Concat(other.pem, ca.pem), slices.Concat(certificate, ca.pem)
	changed(t, files.CA, bundle)
	changed(t, files.Certificate, chain)
	changed(t, files.Key, key)
	var log bytes.Buffer
	configs := sluice.TLSConfigs(nil, files, slog.New(slog.NewTextHandler(&log, nil)))
	whole := configs().RootCAs
	bad := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	for name, c := range map[string]struct {
		second []byte
		says   string
	}{
		"half":            {ca.pem[:len(ca.pem)/2], "cut off"},
		"its first line":  {[]byte("-----BEGIN CERTIFICATE-----\n"), "cut off"},
		"less than that":  {[]byte("-----BE"), "cut off"},
		"without its end": {ca.pem[:len(ca.pem)-10], "cut off"},
		"one in between":  {slices.Concat(ca.pem[:len(ca.pem)/2], []byte("\n"), ca.pem), "cut off"},
		"no certificate":  {bad, "cannot be read, number 2"},
	} {
		for file, first := range map[string][]byte{files.CA: other.pem, files.Certificate: certificate} {
			log.Reset()
			changed(t, file, slices.Concat(first, c.second))
			if !configs().RootCAs.Equal(whole) {
				t.Errorf("%s: other authorities", name)
			}
			shown, err := configs().GetClientCertificate(nil)
			if err != nil || len(shown.Certificate) != 2 {
				t.Errorf("%s: %d certificates, %v", name, len(shown.Certificate), err)
			}
			if !strings.Contains(log.String(), c.says) || !strings.Contains(log.String(), file) {
				t.Errorf("%s: %s", name, log.String())
			}
			changed(t, files.CA, bundle)
			changed(t, files.Certificate, chain)
			configs()
		}
	}
}
