package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// startEmbedded runs the broker command, and returns its address.
func startEmbedded(t *testing.T, args ...string) (*run, string) {
	t.Helper()
	r := start(t, nil, append([]string{"broker", "--listen", "0"}, args...)...)
	address, _, _ := strings.Cut(r.stderr.waitFor(t, "embedded broker on "), ",")
	return r, address
}

// A stop and a start later topics, records and commits are as they were, and new topics are made.
func TestBrokerKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "broker")
	broker, address := startEmbedded(t, "--data-dir", dir, "--topic", "t:2")
	send(t, address, &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("v")})
	before := consumeJSON(t, address, "t")
	commit(t, address, "g", "t", 7)
	broker.stop()
	broker.ends(t, ExitDone)

	broker, address = startEmbedded(t, "--data-dir", dir, "--topic", "t:3", "--topic", "new:1")
	broker.stderr.waitFor(t, "topic t was there already; its number of partitions stays 2")
	if after := consumeJSON(t, address, "t"); len(before) != 1 || strings.Join(after, "\n") != before[0] {
		t.Errorf("it had %v, and has %v", before, after)
	}
	if got := committed(t, address, "g", "t"); got != 7 {
		t.Errorf("the commit is %d", got)
	}
	if got := consumeJSON(t, address, "new"); len(got) != 0 {
		t.Errorf("new has %v", got)
	}
	broker.stop()
	broker.ends(t, ExitDone)
}

// Two processes never share a directory: the second one is told whose it is. SIGKILL loses nothing that was acknowledged,
// and leaves no lock behind.
func TestBrokerLocksItsData(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no lock there")
	}
	dir := t.TempDir()
	process, address := childBroker(t, dir)
	refused := execute(t, ExitFailed, "broker", "--listen", "0", "--data-dir", dir)
	want := fmt.Sprintf("sluice: data directory %s: in use by process %d; stop that one first, or give another directory\n", dir, process.Process.Pid)
	if got := refused.stderr.String(); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	acknowledged := 0
	for ; acknowledged < 100; acknowledged++ { // one request each
		send(t, address, &kgo.Record{Topic: "t", Value: fmt.Append(nil, acknowledged)})
	}
	commit(t, address, "g", "t", 42)
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()

	broker, address := startEmbedded(t, "--data-dir", dir)
	lines := strings.Fields(execute(t, ExitDone, "consume", "-b", address, "-t", "t", "-e").stdout.String())
	for i := range acknowledged {
		if i >= len(lines) || lines[i] != fmt.Sprint(i) {
			t.Fatalf("record %d is lost or out of order among %d", i, len(lines))
		}
	}
	if got := committed(t, address, "g", "t"); got != 42 {
		t.Errorf("the commit is %d", got)
	}
	broker.stop()
	broker.ends(t, ExitDone)
}

// childBroker is a broker in a process of its own, with a topic t.
func childBroker(t *testing.T, dir string) (process *exec.Cmd, address string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "sluice") // TestMain runs the command of this name
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	said := newOutput()
	process = exec.CommandContext(t.Context(), program, "broker", "--listen", "0", "--data-dir", dir, "--topic", "t:1")
	process.Stderr = said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	address, _, _ = strings.Cut(said.waitFor(t, "embedded broker on "), ",")
	return process, address
}

// Only the logins are let in, over TLS that the broker's own authority vouches for; no password is told. They are those of
// this start, whatever the directory was used with before.
func TestBrokerLoginsAndTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, password := range []string{"hunter2", "hunter3"} {
		logins := write(t, "logins", "# those of the shop\nplain:"+password+":PLAIN\n\nscram:hunter2:x:SCRAM-SHA-512\n")
		broker, address := startEmbedded(t, "--data-dir", dir, "--topic", "t:1", "--sasl-file", logins, "--sasl", "any:"+password, "--tls")
		ca := broker.stderr.waitFor(t, "ssl.truststore.location=")
		properties := func(mechanism, user, password string) string {
			return write(t, "client.properties", fmt.Sprintf("security.protocol=SASL_SSL\nsasl.mechanism=%s\nsasl.username=%s\nsasl.password=%s\n"+
				"ssl.truststore.type=PEM\nssl.truststore.location=%s\n", mechanism, user, password, ca))
		}
		for _, login := range [][3]string{
			{"PLAIN", "plain", password}, {"SCRAM-SHA-512", "scram", "hunter2:x"}, {"SCRAM-SHA-256", "any", password}, {"PLAIN", "any", password},
		} {
			file := properties(login[0], login[1], login[2])
			start(t, strings.NewReader("v\n"), "produce", "-b", address, "--properties", file, "-t", "t").ends(t, ExitDone)
		}
		for _, login := range [][3]string{
			{"PLAIN", "plain", "wrong"}, {"PLAIN", "nobody", "x"}, {"PLAIN", "scram", "hunter2:x"}, {"PLAIN", "plain", []string{"hunter3", "hunter2"}[i]},
		} {
			r := execute(t, ExitFailed, "consume", "-b", address, "--properties", properties(login[0], login[1], login[2]), "-t", "t", "-e")
			if got := r.stderr.String(); !strings.Contains(got, "wrong name or password") {
				t.Errorf("%v: it says %q", login, got)
			}
		}
		r := execute(t, ExitFailed, "consume", "-b", address, "--properties", properties("SCRAM-SHA-512", "scram", "wrong"), "-t", "t", "-e")
		if got := r.stderr.String(); !strings.Contains(got, address+": EOF; a wrong password?") {
			t.Errorf("it says %q", got)
		}
		broker.stop()
		broker.ends(t, ExitDone)
		said := broker.stderr.String()
		for _, want := range []string{"logins: any (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512), plain (PLAIN), scram (SCRAM-SHA-512)", "security.protocol=SASL_SSL"} {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in\n%s", want, said)
			}
		}
		if strings.Contains(said, "hunter") {
			t.Errorf("it tells a password:\n%s", said)
		}
	}
}

// An empty password is no way in, although kfake alone would take it of a user that it does not know.
func TestBrokerRefusesAnEmptyPassword(t *testing.T) {
	t.Parallel()
	_, address := startEmbedded(t, "--sasl", "app:hunter2:PLAIN")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if code := plainLogin(t, conn, "\x00nobody\x00"); code == 0 {
		t.Error("it lets nobody in")
	}
	conn, err = new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if code := plainLogin(t, conn, "\x00app\x00hunter2"); code != 0 {
		t.Errorf("it refuses app: %d", code)
	}
}

// librdkafka, and so kcat, logs in only where version 0 of the handshake is offered.
func TestBrokerLetsLibrdkafkaIn(t *testing.T) {
	t.Parallel()
	_, address := startEmbedded(t, "--sasl", "app:hunter2", "--tls")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request, response := kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrApiVersionsResponse()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "librdkafka", "2.3.0"
	exchange(t, conn, 3, request, response)
	offered := map[int16][2]int16{}
	for _, key := range response.ApiKeys {
		offered[key.ApiKey] = [2]int16{key.MinVersion, key.MaxVersion}
	}
	if got := offered[kmsg.SASLHandshake.Int16()]; got != [2]int16{0, 1} || len(offered) < 40 {
		t.Errorf("of %d kinds of requests the handshake has %v", len(offered), got)
	}
	program, err := exec.LookPath("kcat")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("kcat is missing: make servers")
		}
		t.Skip("kcat is missing: make servers")
	}
	cmd := exec.CommandContext(t.Context(), program, "-b", address, "-L", "-X", "security.protocol=SASL_SSL", "-X", "sasl.mechanism=SCRAM-SHA-256",
		"-X", "sasl.username=app", "-X", "sasl.password=hunter2", "-X", "enable.ssl.certificate.verification=false")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "1 brokers") {
		t.Errorf("kcat says %s, %v", out, err)
	}
}

// The authority stays over restarts, and a broker's certificate holds for its hosts alone.
func TestBrokerCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var cas [2]string
	for i := range cas {
		broker, address := startEmbedded(t, "--data-dir", dir, "--tls")
		path := broker.stderr.waitFor(t, "ssl.truststore.location=")
		ca, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cas[i] = string(ca)
		for host, fine := range map[string]bool{"localhost": true, "127.0.0.1": true, "elsewhere": false} {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(t, ca), ServerName: host})
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != fine {
				t.Errorf("%s: %v", host, err)
			}
		}
		broker.stop()
		broker.ends(t, ExitDone)
	}
	if cas[0] != cas[1] {
		t.Error("the authority has changed")
	}
	block, _ := pem.Decode([]byte(cas[0]))
	if block == nil || block.Type != "CERTIFICATE" {
		t.Errorf("the authority's file is %q", cas[0])
	}
	if info, err := os.Stat(filepath.Join(dir, "tls", "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info, err)
	}
}

// What clients are told is --advertise, with the listener's port where it names none.
func TestBrokerAdvertises(t *testing.T) {
	t.Parallel()
	_, told := startEmbedded(t, "--advertise", "localhost")
	host, port, err := net.SplitHostPort(told)
	if err != nil || host != "localhost" {
		t.Fatalf("it says %q", told)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(net.JoinHostPort("127.0.0.1", port)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	brokers, err := kadm.NewClient(client).ListBrokers(t.Context())
	if err != nil || len(brokers) != 1 || brokers[0].Host != "localhost" || fmt.Sprint(brokers[0].Port) != port {
		t.Errorf("clients are told %+v, %v", brokers, err)
	}
}

func commit(t *testing.T, address, group, topic string, at int64) {
	t.Helper()
	withAdmin(t, address, func(ctx context.Context, admin *kadm.Client) error {
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, At: at})
		return admin.CommitAllOffsets(ctx, group, offsets)
	})
}

func committed(t *testing.T, address, group, topic string) (at int64) {
	t.Helper()
	withAdmin(t, address, func(ctx context.Context, admin *kadm.Client) error {
		offsets, err := admin.FetchOffsets(ctx, group)
		o, _ := offsets.Lookup(topic, 0)
		at = o.At
		return err
	})
	return at
}

func withAdmin(t *testing.T, address string, f func(context.Context, *kadm.Client) error) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := f(t.Context(), kadm.NewClient(client)); err != nil {
		t.Fatal(err)
	}
}

// plainLogin logs in by PLAIN with bytes that no client would send, and returns the broker's code.
func plainLogin(t *testing.T, conn net.Conn, auth string) int16 {
	t.Helper()
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "PLAIN"
	exchange(t, conn, 1, handshake, handshake.ResponseKind())
	login := kmsg.NewPtrSASLAuthenticateRequest()
	login.SASLAuthBytes = []byte(auth)
	response := kmsg.NewPtrSASLAuthenticateResponse()
	exchange(t, conn, 1, login, response)
	return response.ErrorCode
}

// exchange sends a request and reads its response.
func exchange(t *testing.T, conn net.Conn, version int16, request kmsg.Request, response kmsg.Response) {
	t.Helper()
	request.SetVersion(version)
	response.SetVersion(version)
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 1)); err != nil {
		t.Fatal(err)
	}
	const header = 8 // length, correlation id
	head := make([]byte, header)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	if err := response.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
}

func pool(t *testing.T, ca []byte) *x509.CertPool {
	t.Helper()
	out := x509.NewCertPool()
	if !out.AppendCertsFromPEM(ca) {
		t.Fatalf("no certificate in %q", ca)
	}
	return out
}
