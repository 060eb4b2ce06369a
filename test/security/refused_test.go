package security

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// answerLimit is how soon the library and the program say that they cannot get in.
const answerLimit = 10 * time.Second

// Who cannot get in is told so at once, with the address and the reason, and never with the password.
func TestRefused(t *testing.T) {
	k := servers.SecureKafka(t)
	short, long := k.ScramUser(t, "SCRAM-SHA-256"), k.ScramUser(t, "SCRAM-SHA-512")
	wrong := func(u servers.User) servers.User {
		u.Password = `wr0ng"guess\` + u.Password
		return u
	}
	ca, stranger := k.Certificates.CA, k.Certificates.Stranger
	for _, test := range []struct {
		name   string
		access access
		user   servers.User
		want   []string // in any case
		hint   string   // what the program alone says
	}{
		{"wrong PLAIN password", login(k.SASLPlaintext, "PLAIN", wrong(k.User)), wrong(k.User), []string{"authentication failed"}, "wrong name or password"},
		{"wrong PLAIN password, TLS", loginTLS(k.SASLSSL, "PLAIN", wrong(k.User), ca), wrong(k.User), []string{"authentication failed"}, "wrong name or password"},
		{"wrong SCRAM-SHA-256 password", login(k.SASLPlaintext, "SCRAM-SHA-256", wrong(short)), wrong(short), []string{"authentication failed"}, "wrong name or password"},
		{"wrong SCRAM-SHA-512 password", login(k.SASLPlaintext, "SCRAM-SHA-512", wrong(long)), wrong(long), []string{"authentication failed"}, "wrong name or password"},
		{"wrong SCRAM-SHA-512 password, TLS", loginTLS(k.SASLSSL, "SCRAM-SHA-512", wrong(long), ca), wrong(long), []string{"authentication failed"}, "wrong name or password"},
		{"a user of another mechanism", login(k.SASLPlaintext, "SCRAM-SHA-512", short), short, []string{"authentication failed"}, "wrong name or password"},
		{"a login where none is asked for", login(k.Plaintext, "PLAIN", k.User), k.User, []string{"sasl"}, "asks for no login"},
		{"a login where TLS is wanted too", login(k.SASLSSL, "PLAIN", k.User), k.User, []string{"tls"}, ""},
		{"no login where one is asked for", access{address: k.SASLPlaintext}, servers.User{}, []string{"sasl"}, ""},
		{"no TLS where it is wanted", access{address: k.SSL}, servers.User{}, []string{"tls"}, ""},
		{"TLS where there is none", encrypted(k.Plaintext, ca), servers.User{}, []string{"tls"}, ""},
		{"TLS and a login where there is no TLS", loginTLS(k.SASLPlaintext, "PLAIN", k.User, ca), k.User, []string{"tls"}, ""},
		{"an unknown authority", encrypted(k.SSL, stranger), servers.User{}, []string{"certificate", "unknown authority"}, ""},
		{"an unknown authority and a login", loginTLS(k.SASLSSL, "PLAIN", k.User, stranger), k.User, []string{"certificate", "unknown authority"}, ""},
		{"a broker whose certificate has ended", encrypted(k.ExpiredSSL, ca), servers.User{}, []string{"certificate", "expired"}, ""},
		{"no certificate where one is asked for", encrypted(k.MutualTLS, ca), servers.User{}, []string{"certificate"}, "certificate of this client is refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			check := func(t *testing.T, what, said string, took time.Duration, more ...string) {
				t.Helper()
				t.Logf("%s, %v: %s", what, took.Round(time.Millisecond), strings.TrimSpace(said))
				if took > answerLimit {
					t.Errorf("%s took %v", what, took)
				}
				for _, want := range slices.Concat(test.want, more, []string{test.access.address}) {
					if !strings.Contains(strings.ToLower(said), want) {
						t.Errorf("%s does not say %q:\n%s", what, want, said)
					}
				}
				keepsSecret(t, what, said, test.user.Password)
			}
			n := names{"orders", "orders.dlq", "orders-to-sql"}
			t.Run("library", func(t *testing.T) { refusedInLibrary(t, test.access, n, check) })
			t.Run("program", func(t *testing.T) { refusedInProgram(t, test.access, n, test.hint, check) })
		})
	}
}

type checkFunc = func(t *testing.T, what, said string, took time.Duration, more ...string)

func refusedInLibrary(t *testing.T, a access, n names, check checkFunc) {
	app := newApp(t, a, n)
	producer, err := sluice.NewProducer(a.config(t, n.group).Producer())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() { _ = producer.Close(ended) }()
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{{"Check", app.Check}, {"Run", app.Run}, {"Ping", producer.Ping}} {
		// Check and Run have their own limit; Ping has the caller's.
		ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
		began := time.Now()
		err := step.do(ctx)
		cancel()
		if err == nil {
			t.Errorf("%s: no error", step.what)
			continue
		}
		check(t, step.what, err.Error(), time.Since(began))
	}
}

func refusedInProgram(t *testing.T, a access, n names, hint string, check checkFunc) {
	file, properties := n.pipeline(t, a)
	for _, args := range [][]string{
		{"run", file},
		{"run", file, "--check"},
		{"run", file, "--until-caught-up"},
		{"produce", "--properties", properties, "-t", n.topic},
		{"consume", "--properties", properties, "-t", n.topic, "-e"},
	} {
		o := execute(t, "{}\n", args...)
		if o.code != 1 {
			t.Errorf("sluice %s ended with %d", o.args, o.code)
		}
		if o.stdout != "" {
			t.Errorf("sluice %s printed %q", o.args, o.stdout)
		}
		check(t, "sluice "+args[0], o.stderr, o.took, hint)
	}
}
