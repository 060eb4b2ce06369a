package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// exporter-toolkit keeps nothing running; neither do we.
	goleak.VerifyTestMain(m)
}

const (
	token = "0123456789abcdef0123456789abcdef"
	// hunter2hunter2
	hash = "$2b$04$BXSIqh.5HluABqRAB6PRoO52JtCURINoe8TsYyzWsNyKwOyM1ZVL6"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"9100": "127.0.0.1:9100", ":9100": "127.0.0.1:9100", "0.0.0.0:1": "0.0.0.0:1", "[::1]:5": "[::1]:5", "localhost:0": "localhost:0",
		"": "", "x": "", "127.0.0.1": "", ":70000": "", "::1": "",
	} {
		got, err := Address(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q becomes %q, %v; want %q", in, got, err, want)
		}
	}
}

// An address that others reach needs something that callers must show, or a word that none is wanted.
func TestWhatMayBeOpened(t *testing.T) {
	t.Parallel()
	good, short, two := write(t, "token", token+"\n"), write(t, "short", "hunter2"), write(t, "two", token+"\n"+token)
	users, nothing := write(t, "web.yml", "basic_auth_users: {app: "+hash+"}\n"), write(t, "none.yml", "http_server_config: {http2: true}\n")
	plain := write(t, "plain.yml", "basic_auth_users: {app: hunter2secret}\n")
	typo := write(t, "typo.yml", "basic_auth_user: {app: "+hash+"}\n")
	for _, x := range []struct {
		o    Options
		want string // of the error; "" none
	}{
		{Options{}, ""},
		{Options{Address: "9308"}, ""},
		{Options{Address: "localhost:9308"}, ""},
		{Options{Address: "[::1]:9308"}, ""},
		{Options{Address: "127.8.9.1:9308"}, ""},
		{Options{Address: "0.0.0.0:9308"}, "can be reached from other machines"},
		{Options{Address: "[::]:9308"}, "can be reached from other machines"},
		{Options{Address: "10.0.0.1:9308"}, "can be reached from other machines"},
		{Options{Address: "localhost.example.com:9308"}, "can be reached from other machines"},
		{Options{Address: "0.0.0.0:9308", Config: nothing}, "can be reached from other machines"},
		{Options{Address: "0.0.0.0:9308", Insecure: true}, ""},
		{Options{Address: "0.0.0.0:9308", TokenFile: good}, ""},
		{Options{Address: "0.0.0.0:9308", Config: users}, ""},
		{Options{Address: "0.0.0.0:9308", Config: users, TokenFile: good}, "leave the other one out"},
		{Options{Address: "0.0.0.0:9308", TokenFile: short}, "at least 16 characters"},
		{Options{Address: "0.0.0.0:9308", TokenFile: two}, "one word"},
		{Options{Address: "9308", TokenFile: good + ".gone"}, "no such file"},
		{Options{Address: "9308", Config: good + ".gone"}, "no such file"},
		{Options{Address: "0.0.0.0:9308", Config: plain}, "--listen-config"},
		{Options{Address: "0.0.0.0:9308", Config: typo}, "basic_auth_user"},
		{Options{TokenFile: good}, "--listen is missing"},
		{Options{Insecure: true}, "--listen is missing"},
	} {
		err := x.o.Check()
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v; want %q", x.o, err, x.want)
		}
		if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("a secret is told: %v", err)
		}
	}
}

// served is a listener that is asked.
type served struct {
	t       *testing.T
	url     string
	log     *bytes.Buffer
	client  *http.Client
	address string
	stop    func()
}

func serve(t *testing.T, o Options) *served {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	return serveUnchecked(t, o)
}

func serveUnchecked(t *testing.T, o Options) *served {
	t.Helper()
	s := &served{t: t, log: &bytes.Buffer{}, client: &http.Client{Transport: &http.Transport{}}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the answer") })
	address, stop, err := o.Serve(t.Context(), handler, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		t.Fatal(err)
	}
	s.address = "127.0.0.1:" + port
	s.url = "http://" + s.address
	s.stop = sync.OnceFunc(func() {
		s.client.CloseIdleConnections()
		stop()
	})
	t.Cleanup(func() {
		s.stop()
		for _, secret := range []string{token, "hunter2", hash} {
			if strings.Contains(s.log.String(), secret) {
				t.Errorf("a secret is in the log:\n%s", s.log)
			}
		}
	})
	return s
}

// demand asks, and demands an answer. Only a good one may be the handler's.
func (s *served) demand(want int, change func(*http.Request)) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/x", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	change(request)
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != want {
		s.t.Errorf("%s %v: %d, %s %v; want %d", request.Method, request.Header, response.StatusCode, body, err, want)
	}
	if got := strings.Contains(string(body), "the answer"); got != (want == http.StatusOK && request.Method == http.MethodGet) {
		s.t.Errorf("%s: %q", request.Method, body)
	}
	if strings.Contains(string(body), token) || strings.Contains(string(body), "hunter2") {
		s.t.Errorf("a secret is told: %s", body)
	}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

func method(name string) func(*http.Request) { return func(r *http.Request) { r.Method = name } }

func nothing(*http.Request) {}

func TestForeignHostsAndOrigins(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Address: "0", Hosts: []string{"Monitoring.example.com"}})
	for _, name := range []string{
		"localhost", "localhost:9308", "127.0.0.1:1", "[::1]:9308", "sluice:9308", "monitoring.example.com", "MONITORING.example.com.:80",
	} {
		s.demand(http.StatusOK, host(name))
	}
	for _, name := range []string{"evil.example.com", "evil.example.com:9308", "127.0.0.1.evil.com", "localhost.evil.com", "monitoring.example.com.evil.com"} {
		s.demand(http.StatusMisdirectedRequest, host(name))
	}
	s.demand(http.StatusOK, header("Origin", s.url))
	for _, origin := range []string{"http://evil.example.com", "null", "http://127.0.0.1:1", "://", "https://" + s.address + ".evil.com"} {
		s.demand(http.StatusForbidden, header("Origin", origin))
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Address: "0"})
	s.demand(http.StatusOK, method(http.MethodHead))
	for _, m := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"} {
		s.demand(http.StatusMethodNotAllowed, method(m))
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	file := write(t, "token", token+"\n")
	s := serve(t, Options{Address: "0.0.0.0:0", TokenFile: file})
	s.demand(http.StatusOK, header("Authorization", "Bearer "+token))
	s.demand(http.StatusOK, header("Authorization", "bearer "+token))
	s.demand(http.StatusUnauthorized, nothing)
	for _, wrong := range []string{
		"Bearer", "Bearer ", token, "Basic " + token, "Bearer " + token[1:], "Bearer " + token + "0", "Bearer " + strings.ToUpper(token),
	} {
		s.demand(http.StatusUnauthorized, header("Authorization", wrong))
	}
	s.demand(http.StatusUnauthorized, func(r *http.Request) { r.URL.RawQuery = "token=" + token })
	s.demand(http.StatusUnauthorized, method(http.MethodDelete)) // who may not ask is told nothing
	const next = "another" + token
	if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	s.demand(http.StatusUnauthorized, header("Authorization", "Bearer "+token))
	s.demand(http.StatusOK, header("Authorization", "Bearer "+next))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.demand(http.StatusInternalServerError, header("Authorization", "Bearer "+next))
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	file := write(t, "web.yml", "basic_auth_users: {app: "+hash+"}\n")
	s := serve(t, Options{Address: "0.0.0.0:0", Config: file})
	login := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	s.demand(http.StatusOK, login("app", "hunter2hunter2"))
	s.demand(http.StatusUnauthorized, nothing)
	s.demand(http.StatusUnauthorized, login("app", "hunter2"))
	s.demand(http.StatusUnauthorized, login("nobody", "hunter2hunter2"))
	s.demand(http.StatusUnauthorized, login("app", hash))
	if err := os.WriteFile(file, []byte("basic_auth_users: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.demand(http.StatusInternalServerError, nothing) // a file that lets everybody in by mistake lets nobody in
	s.demand(http.StatusInternalServerError, login("app", "hunter2hunter2"))
}

// certificate makes one for 127.0.0.1, and its key.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
}

// A certificate that is renewed counts from the next connection on.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(name string) {
		cert, key := certificate(t, name)
		put("cert.pem", cert)
		put("key.pem", key)
	}
	renew("first")
	put("web.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
	s := serve(t, Options{Address: "0", Config: filepath.Join(dir, "web.yml")})
	presented := func() string {
		t.Helper()
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // whose it is, is read
		conn, err := dialer.DialContext(t.Context(), "tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := presented(); got != "first" {
		t.Errorf("the certificate is %q", got)
	}
	renew("second")
	if got := presented(); got != "second" {
		t.Errorf("the certificate is still %q", got)
	}
	s.demand(http.StatusBadRequest, nothing) // plain HTTP
}

// Who opens a connection and says nothing is hung up on.
func TestLimits(t *testing.T) {
	t.Parallel()
	if headerLimit <= 0 || readLimit <= 0 || writeLimit <= 0 || idleLimit <= 0 {
		t.Fatal("there is no limit")
	}
	s := serve(t, Options{Address: "0"})
	s.demand(http.StatusRequestHeaderFieldsTooLarge, header("X-Long", strings.Repeat("x", 2*headerBytes)))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(3 * headerLimit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("it waits for the rest of a request for more than %v: %v", 3*headerLimit, err)
	}
}
