package security

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

const (
	clientID     = "billing"
	clientSecret = `s3cret+/="\` + "Zq9Tr0ub4dor"
)

// tokenServer is an authorization server that gives tokens for User:billing, good until end.
func tokenServer(t *testing.T, end time.Time) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if id, secret, _ := r.BasicAuth(); id != clientID || secret != clientSecret || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"no such client"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": servers.Token(clientID, end), "token_type": "bearer", "expires_in": 3600})
	}))
	t.Cleanup(s.Close)
	return s.URL + "/token"
}

// tokens is a login with OAUTHBEARER.
func tokens(address, endpoint, secret string) access {
	u := servers.User{Name: clientID, Password: secret}
	jaas := strings.NewReplacer("username=", "clientId=", "password=", "clientSecret=").Replace(u.JAAS("PLAIN"))
	return access{address, []string{
		"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=OAUTHBEARER", "sasl.jaas.config=" + jaas,
		"sasl.oauthbearer.token.endpoint.url=" + endpoint,
	}}
}

func TestRecordsFlowWithTokens(t *testing.T) {
	k := servers.SecureKafka(t)
	a := tokens(k.SASLPlaintext, tokenServer(t, time.Now().Add(time.Hour)), clientSecret)
	for way, flow := range map[string]func(*testing.T, access, names, string){
		"library": flowsThroughLibrary, "program": flowsThroughProgram,
	} {
		t.Run(way, func(t *testing.T) {
			n := newNames(t, k)
			n.allow(t, k, "User:"+clientID)
			flow(t, a, n, clientSecret)
		})
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	k := servers.SecureKafka(t)
	good, ended := tokenServer(t, time.Now().Add(time.Hour)), tokenServer(t, time.Now().Add(-time.Hour))
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	for name, test := range map[string]struct {
		endpoint, secret string
		kind             error
		says             []string
	}{
		"a wrong secret":       {good, "wr0ngSecret", sluice.ErrToken, []string{good, "401", "invalid_client", "are client id and secret right?"}},
		"an endpoint is down":  {down.URL + "/token", clientSecret, sluice.ErrToken, []string{down.URL, "refused"}},
		"a token that ended":   {ended, clientSecret, sluice.ErrAuthentication, []string{"token is refused (invalid_token)"}},
		"no endpoint's answer": {strings.TrimSuffix(down.URL, "/") + "/?token=abcdefgh", clientSecret, sluice.ErrToken, []string{"refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := tokens(k.SASLPlaintext, test.endpoint, test.secret)
			n := names{"orders", "orders.dlq", "orders-to-sql"}
			check := func(t *testing.T, what, said string, took time.Duration, more ...string) {
				t.Helper()
				t.Logf("%s, %v: %s", what, took.Round(time.Millisecond), strings.TrimSpace(said))
				if took > answerLimit {
					t.Errorf("%s took %v", what, took)
				}
				for _, want := range append(more, test.says...) {
					if !strings.Contains(said, want) {
						t.Errorf("%s does not say %q", what, want)
					}
				}
				keepsSecret(t, what, said, test.secret, "abcdefgh")
			}
			t.Run("library", func(t *testing.T) {
				refusedInLibrary(t, a, n, check)
				if err := newApp(t, a, n).Check(t.Context()); !errors.Is(err, test.kind) {
					t.Errorf("%v", err)
				}
			})
			t.Run("program", func(t *testing.T) { refusedInProgram(t, a, n, "", check) })
		})
	}
}

// A consumer logs in again whenever its login ends, with a new token when the old one is near its end, and loses nothing: neither
// its membership nor a record.
func TestAConsumerOutlivesItsTokens(t *testing.T) {
	k := servers.SecureKafka(t)
	n := newNames(t, k)
	n.allow(t, k, "User:"+clientID)
	const life = 2 * servers.LoginLife
	var given atomic.Int64
	cfg := access{address: k.ShortLogins}.config(t, n.group)
	cfg.SASL = &sluice.SASL{Mechanism: "OAUTHBEARER", Token: func(context.Context) (sluice.Token, error) {
		given.Add(1)
		end := time.Now().Add(life)
		return sluice.Token{Value: servers.Token(clientID, end), Expires: end}, nil
	}}
	var assigned, released atomic.Int64
	cfg.Events.Assigned = func(sluice.AssignedInfo) { assigned.Add(1) }
	cfg.Events.Released = func(sluice.ReleasedInfo) { released.Add(1) }
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var handled atomic.Int64
	err = sluice.Add(app, route(n, func(context.Context, sluice.Message[string]) error {
		handled.Add(1)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	until(t, "the app is ready", func() bool { return app.Health().Ready })

	writer, err := kgo.NewClient(kgo.SeedBrokers(k.Plaintext))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	first, began := given.Load(), time.Now()
	for i := int64(1); time.Since(began) < 3*life; i++ {
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: n.topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		until(t, "the record is handled", func() bool { return handled.Load() >= i })
	}
	if got := given.Load() - first; got < 3 {
		t.Errorf("%d tokens in three lives of one", got)
	}
	if s := app.Stats(); s.CommitsFailed > 0 || assigned.Load() != 1 || released.Load() != 0 {
		t.Errorf("%d commits failed, %d partitions came and %d went", s.CommitsFailed, assigned.Load(), released.Load())
	}
	if h := app.Health(); !h.Ready {
		t.Errorf("%v", h.Problems)
	}
	t.Logf("%d records in %v, %d tokens, one membership", handled.Load(), time.Since(began).Round(time.Second), given.Load())
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}
