package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/sluice-go/sluice"
)

// login is what a broker gets first.
func login(t *testing.T, m sasl.Mechanism) (string, sasl.Session) {
	t.Helper()
	session, first, err := m.Authenticate(t.Context(), "broker:9092")
	if err != nil {
		t.Fatal(err)
	}
	return string(first), session
}

func bearer(token string) string { return "n,,\x01auth=Bearer " + token + "\x01\x01" }

func TestTokensAreRenewedAtFourFifthsOfTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given atomic.Int64
		var broken atomic.Bool
		m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) {
			if broken.Load() {
				return sluice.Token{}, errors.New("down")
			}
			return sluice.Token{Value: fmt.Sprint("t", given.Add(1)), Expires: time.Now().Add(100 * time.Second)}, nil
		})
		is := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			if got, _ := login(t, m); got != bearer(want) {
				t.Errorf("%q, want %s", got, want)
			}
		}
		is(0, "t1")
		is(79*time.Second, "t1")
		is(time.Second, "t2")
		is(79*time.Second, "t2")
		broken.Store(true)
		is(20*time.Second, "t2") // 99 s old: still good
		time.Sleep(time.Second)
		if _, _, err := m.Authenticate(t.Context(), ""); !errors.Is(err, sluice.ErrToken) || !strings.Contains(err.Error(), "down") {
			t.Errorf("%v", err)
		}
		broken.Store(false)
		is(0, "t3")
	})
}

func TestATokenIsNotUsedInItsLastSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given int
		m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) {
			given++
			return sluice.Token{Value: fmt.Sprint("t", given), Expires: time.Now().Add(6 * time.Second)}, nil
		})
		for _, want := range []string{"t1", "t1", "t2", "t2", "t3"} {
			if got, _ := login(t, m); got != bearer(want) {
				t.Errorf("%q, want %s", got, want)
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
}

func TestATokenWithoutAnEndIsUsedOnce(t *testing.T) {
	var given int
	m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) {
		given++
		return sluice.Token{Value: fmt.Sprint("t", given), Extensions: map[string]string{"logicalCluster": "c1"}}, nil
	})
	for _, want := range []string{"t1", "t2"} {
		if got, _ := login(t, m); got != "n,,\x01auth=Bearer "+want+"\x01logicalCluster=c1\x01\x01" {
			t.Errorf("%q", got)
		}
	}
}

func TestConnectionsThatAreMadeAtOnceShareAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given atomic.Int64
		m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) {
			time.Sleep(time.Second)
			return sluice.Token{Value: fmt.Sprint("t", given.Add(1)), Expires: time.Now().Add(time.Hour)}, nil
		})
		for range 20 {
			go func() { _, _, _ = m.Authenticate(t.Context(), "") }()
		}
		time.Sleep(2 * time.Second)
		if n := given.Load(); n != 1 {
			t.Errorf("%d requests for one token", n)
		}
	})
}

func TestATokenThatDoesNotComeEndsTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sluice.TokenMechanism(func(ctx context.Context) (sluice.Token, error) {
			<-ctx.Done()
			return sluice.Token{}, ctx.Err()
		})
		began := time.Now()
		if _, _, err := m.Authenticate(t.Context(), ""); !errors.Is(err, sluice.ErrToken) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestARefusedTokenIsNotShownAgain(t *testing.T) {
	var given int
	m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) {
		given++
		return sluice.Token{Value: fmt.Sprint("t", given), Expires: time.Now().Add(time.Hour)}, nil
	})
	_, session := login(t, m)
	if done, _, err := session.Challenge(nil); !done || err != nil {
		t.Errorf("let in: %v, %v", done, err)
	}
	for answer, says := range map[string]string{
		`{"status":"invalid_token","scope":"x"}`: "authentication failed: the token is refused (invalid_token)",
		"{\"status\":\"a\x1bb\"}":                "authentication failed: the token is refused",
		"Tr0ub4dor":                              "authentication failed: the token is refused",
	} {
		if _, _, err := session.Challenge([]byte(answer)); !errors.Is(err, sluice.ErrAuthentication) || err.Error() != says {
			t.Errorf("%v, want %s", err, says)
		}
	}
	if got, _ := login(t, m); got != bearer("t2") {
		t.Errorf("%q", got)
	}
}

func TestBadTokens(t *testing.T) {
	for says, token := range map[string]sluice.Token{"an empty one": {}, "that ended at": {Value: "t", Expires: time.Now().Add(-time.Second)}} {
		m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) { return token, nil })
		if _, _, err := m.Authenticate(t.Context(), ""); !errors.Is(err, sluice.ErrToken) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	cfg := goodConfig()
	cfg.SASL = &sluice.SASL{Mechanism: "OAUTHBEARER"}
	if got := onlyMistake(t, cfg); got.Field != "SASL" || !strings.Contains(got.Problem, "ClientCredentials.Token") {
		t.Errorf("%+v", got)
	}
}

func TestTokensAreNotPrinted(t *testing.T) {
	var b strings.Builder
	c := sluice.ClientCredentials{URL: "https://x/token?key=" + password, ID: "billing", Secret: password}
	token := sluice.Token{Value: password}
	fmt.Fprintf(&b, "%v %+v %#v %s %v %+v %#v", c, c, c, c, token, token, token)
	slog.New(slog.NewTextHandler(&b, nil)).Info("login", "with", c, "token", token)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("login", "with", c, "token", token)
	if strings.Contains(b.String(), "Tr0ub4dor") || !strings.Contains(b.String(), "billing") {
		t.Error(b.String())
	}
}
