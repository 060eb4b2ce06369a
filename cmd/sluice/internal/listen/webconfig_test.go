package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/internal/fold"
)

// No error tells a secret, whatever is wrong with the file that holds it, nor does the log when it becomes so.
func TestAWrongFileTellsNoSecret(t *testing.T) {
	t.Parallel()
	good := "basic_auth_users: {app: " + hash + "}\n"
	for name, text := range map[string]string{
		"no hash":            "basic_auth_users: {app: hunter2hunter2}\n",
		"no mapping":         "basic_auth_users: hunter2hunter2\n",
		"a list":             "basic_auth_users: [app, hunter2hunter2]\n",
		"too deep":           "basic_auth_users: {app: {password: hunter2hunter2}}\n",
		"a quote inside":     "basic_auth_users: \"a`hunter2\\nhunter2`\"\n",
		"two of a name":      "basic_auth_users: {app: hunter2hunter2, app: hunter2}\n",
		"the key as the TLS": "tls_server_config: hunter2hunter2\n",
		"a number":           "rate_limit: {burst: hunter2hunter2}\n",
		"a duration":         "rate_limit: {interval: hunter2hunter2}\n",
		"no YAML":            "basic_auth_users: {app: hunter2hunter2\n",
		"a tab":              "basic_auth_users:\n\tapp: hunter2hunter2\n",
		"a tag":              "basic_auth_users: !!int hunter2hunter2\n",
		"a reference":        "basic_auth_users: {app: *hunter2hunter2}\n",
		"two references":     "basic_auth_users: {app: *hunter2hunter2, more: *hunter2}\n",
		"a circle":           "basic_auth_users: &hunter2hunter2 {app: *hunter2hunter2}\n",
		"a plain key":        "tls_server_config: {cert: hunter2hunter2, key: hunter2hunter2}\n",
	} {
		told := func(what, s string) {
			if s == "" || strings.Contains(s, "hunt") || strings.Contains(s, "with 'h'") {
				t.Errorf("%s, %s: %q", name, what, s)
			}
		}
		o := Options{Address: "0", Config: write(t, "web.yml", text)}
		err := o.Check()
		if err == nil || !strings.Contains(err.Error(), "--listen-config "+o.Config) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		told("at the start", err.Error())
		if _, err := readRules(o.Config); err != nil {
			told("read", err.Error())
		}
		if err := validate(o.Config); err != nil {
			told("exporter-toolkit", err.Error())
		}
		later := write(t, "web.yml", good)
		s := serve(t, Options{Address: "0", Config: later})
		s.demand(http.StatusUnauthorized, nothing)
		if err := os.WriteFile(later, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Errorf("%s: it lets everybody in", name)
		}
	}
}

// Go takes the system's authorities where none is named: anybody can have a certificate of those.
func TestCertificatesNeedAnAuthority(t *testing.T) {
	t.Parallel()
	c := newAuthority(t)
	for _, address := range []string{"0", "0.0.0.0:0"} {
		o := Options{Address: address, Config: c.put("web.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAndVerifyClientCert}\n")}
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), "there is no client_ca_file") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, kind := range []string{"RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven"} {
		o := Options{Address: "0.0.0.0:0", Config: c.put("web.yml", c.demands(kind))}
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), "can be reached from other machines") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// authority makes certificates, in a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.renew()
	server := a.issue(x509.ExtKeyUsageServerAuth)
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	a.put("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})))
	a.put("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return a
}

// renew makes another authority, whom clients are to have their certificate of.
func (a *authority) renew() {
	a.t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, key := a.sign(template, nil, nil)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	a.cert, a.key = cert, key
	a.put("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func (a *authority) issue(usage x509.ExtKeyUsage) tls.Certificate {
	a.t.Helper()
	der, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) put(name, text string) (file string) {
	a.t.Helper()
	file = filepath.Join(a.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

func (a *authority) demands(kind string) string {
	return "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_auth_type: " + kind + "}\n"
}

// serveTLS serves behind TLS, for callers with these certificates.
func serveTLS(t *testing.T, file string, certificates ...tls.Certificate) *served {
	t.Helper()
	s := serve(t, Options{Address: "0.0.0.0:0", Config: file})
	s.url = "https://" + s.address
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	return s
}

// Whom a connection let in by the rules of before is judged by those of now: without a certificate while none was demanded, and by an authority
// that was taken out.
func TestConnectionsOfBefore(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	file := a.put("web.yml", a.demands("RequireAndVerifyClientCert"))
	known := serveTLS(t, file, a.issue(x509.ExtKeyUsageClientAuth))
	stranger := &served{t: t, url: known.url, client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
	t.Cleanup(stranger.client.CloseIdleConnections)
	known.demand(http.StatusOK, nothing)
	stranger.fails()
	a.put("web.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n") // by mistake, for a moment
	stranger.demand(http.StatusInternalServerError, nothing)
	a.put("web.yml", a.demands("RequireAndVerifyClientCert"))
	stranger.demand(http.StatusForbidden, nothing) // on the connection that it has
	stranger.fails()                               // which is closed now
	known.demand(http.StatusOK, nothing)
	a.renew()
	known.fails()
}

// fails demands that no answer comes.
func (s *served) fails() {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/x", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	if response, err := s.client.Do(request); err == nil {
		response.Body.Close()
		s.t.Errorf("it answers %d", response.StatusCode)
	}
}

// What exporter-toolkit let through while the file was being written is asked again.
func TestTheGuardAsksAgain(t *testing.T) {
	t.Parallel()
	file := write(t, "web.yml", "basic_auth_users: {app: "+hash+"}\n")
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		r, err := readRules(file)
		if err != nil {
			t.Fatal(err)
		}
		g := newGuard(Options{Address: address, Config: file}, r, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
		asks := func(want int, user, password string) {
			t.Helper()
			out, request := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1/x", http.NoBody)
			if user != "" {
				request.SetBasicAuth(user, password)
			}
			if g.ServeHTTP(out, request); out.Code != want {
				t.Errorf("%s, %s %s: %d, want %d", address, user, password, out.Code, want)
			}
		}
		for range 2 { // what is remembered are right ones only
			asks(http.StatusUnauthorized, "", "")
			asks(http.StatusUnauthorized, "app", "hunter2")
			asks(http.StatusUnauthorized, "nobody", "hunter2hunter2")
			asks(http.StatusNotFound, "app", "hunter2hunter2") // the handler's
		}
		if err := os.WriteFile(file, []byte("tls_server_config: {cert: x, key: y, client_ca: z, client_auth_type: RequireAndVerifyClientCert}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		asks(http.StatusForbidden, "app", "hunter2hunter2") // it was started without TLS: nobody can show a certificate
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		asks(http.StatusInternalServerError, "app", "hunter2hunter2") // on this machine, too
		if err := os.WriteFile(file, []byte("basic_auth_users: {app: "+hash+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Passwords and tokens that can be read on their way are warned of, where they leave the machine.
func TestSecretsWithoutTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	users := "basic_auth_users: {app: " + hash + "}\n"
	for name, x := range map[string]struct {
		o     Options
		warns bool
	}{
		"a token":                      {Options{Address: "0.0.0.0:0", TokenFile: write(t, "token", token)}, true},
		"passwords":                    {Options{Address: "0.0.0.0:0", Config: write(t, "web.yml", users)}, true},
		"passwords on this machine":    {Options{Address: "0", Config: write(t, "web.yml", users)}, false},
		"passwords with TLS":           {Options{Address: "0.0.0.0:0", Config: a.put("users.yml", users+"tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")}, false},
		"certificates":                 {Options{Address: "0.0.0.0:0", Config: a.put("web.yml", a.demands("RequireAndVerifyClientCert"))}, false},
		"anybody, and all in the open": {Options{Address: "0.0.0.0:0", Insecure: true}, true},
	} {
		s := serve(t, x.o)
		if got := strings.Contains(s.log.String(), "whoever is between can read"); got != x.warns {
			t.Errorf("%s: %s", name, s.log)
		}
	}
}

// What the server has to say of its callers is logged, with the caller beside it, and a flood of it is folded.
func TestWhatTheServerSays(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := serveTLS(t, a.put("web.yml", a.demands("RequireAndVerifyClientCert")))
	const calls = 30
	for range calls {
		s.fails()
	}
	s.stop()
	got := s.log.String()
	if n := strings.Count(got, "TLS handshake error from a caller"); n == 0 || n >= calls || !strings.Contains(got, " caller=127.0.0.1:") ||
		!strings.Contains(got, " repeated=") {
		t.Errorf("%d lines:\n%s", n, got)
	}
	var log strings.Builder
	h := fold.New(slog.NewTextHandler(&log, nil))
	const each = 100
	for n := range each {
		for _, why := range []string{
			`tls: client requested unsupported application protocols (["x%d"])`, `tls: client requested unsupported application protocols ["x%d"]`,
			"read tcp 127.0.0.1:9308->10.0.0.1:%d: read: connection reset by peer", "tls: client offered only unsupported versions: [%x]",
			"x509: certificate has expired or is not yet valid: current time 2026-11-28T11:00:00.%dZ is after 2026-01-01",
		} {
			said := slog.NewRecord(time.Now(), slog.LevelError, fmt.Sprintf("http: TLS handshake error from 10.0.0.1:%d: "+why, n, n), 0)
			other := slog.NewRecord(time.Now(), slog.LevelError, fmt.Sprintf("http2: server: error reading preface from client 10.0.0.1:%d: EOF", n), 0)
			panicked := slog.NewRecord(time.Now(), slog.LevelError, fmt.Sprintf("http: panic serving 10.0.0.1:%d: x%d\ngoroutine %d", n, n, n), 0)
			if err := errors.Join(serverLog{h}.Handle(t.Context(), said), serverLog{h}.Handle(t.Context(), other), serverLog{h}.Handle(t.Context(), panicked)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.Flush()
	if n := strings.Count(log.String(), "\n"); n != 6*11 || strings.Count(log.String(), " repeated=") != 6 ||
		!strings.Contains(log.String(), `err="http: TLS handshake error from a caller: tls: client requested unsupported application protocols" why=`) {
		t.Errorf("%d lines:\n%s", n, &log)
	}
	log.Reset()
	panicked := slog.NewRecord(time.Now(), slog.LevelWarn, "http: panic serving [::1]:5: nil map\ngoroutine 1", 0)
	if err := (serverLog{slog.NewTextHandler(&log, nil)}).Handle(t.Context(), panicked); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, `level=ERROR msg="a request could not be answered" err="http: panic serving a caller" why="nil map\ngoroutine 1" caller=[::1]:5`) {
		t.Error(got)
	}
}

// A server that cannot serve holds no port.
func TestNoPortIsHeld(t *testing.T) {
	t.Parallel()
	file := write(t, "web.yml", "rate_limit: {burst: 1}\n")
	o := Options{Address: "0", Config: file}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("rate_limit: {burst: 1, bursts: 1}\n"), 0o600); err != nil { // since Check
		t.Fatal(err)
	}
	s := serveUnchecked(t, o)
	s.stop()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
	if err == nil {
		conn.Close()
		t.Error("it is still open")
	}
	if !strings.Contains(s.log.String(), "nobody can ask any more") {
		t.Errorf("%s", s.log)
	}
}
