package sluice_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	login := sluice.SASL{Mechanism: "PLAIN", Username: "billing", Password: password}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		for _, v := range []any{c, &c, token, &token, login, &login, []any{c, token, login}} {
			text := fmt.Sprintf(verb, v)
			fmt.Fprintln(&b, text)
			if strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte("Tr0ub4dor"))) {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("login", "with", c, "token", token)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("login", "with", c, "token", token)
	if strings.Contains(b.String(), "Tr0ub4dor") || !strings.Contains(b.String(), "billing") {
		t.Error(b.String())
	}
}

// hanging gives one token of 10 min and then does not return before its context ends, or ever.
func hanging(asked *atomic.Int64, ignores bool) sasl.Mechanism {
	began := time.Now()
	return sluice.TokenMechanism(func(ctx context.Context) (sluice.Token, error) {
		if asked.Add(1) == 1 {
			return sluice.Token{Value: "good", Expires: began.Add(10 * time.Minute)}, nil
		}
		if ignores {
			time.Sleep(time.Hour)
		}
		<-ctx.Done()
		return sluice.Token{}, ctx.Err()
	})
}

func TestATokenThatIsGoodIsUsedWhileTheNextDoesNotCome(t *testing.T) {
	for _, ignores := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			m := hanging(&asked, ignores)
			login(t, m)
			time.Sleep(9 * time.Minute)
			waits := make(chan time.Duration, 3)
			for range 3 {
				go func() {
					began := time.Now()
					if _, first, err := m.Authenticate(t.Context(), ""); err != nil || string(first) != bearer("good") {
						t.Errorf("%q, %v", first, err)
					}
					waits <- time.Since(began)
				}()
			}
			if a, b, c := <-waits, <-waits, <-waits; a != 0 || b != 0 || c != 10*time.Second {
				t.Errorf("they waited %v, %v and %v: only the one that has it fetched may", a, b, c)
			}
			if n := asked.Load(); n != 2 {
				t.Errorf("asked %d times", n)
			}
			time.Sleep(time.Minute) // the token has ended
			began := time.Now()
			if _, _, err := m.Authenticate(t.Context(), ""); !errors.Is(err, sluice.ErrToken) || time.Since(began) != 10*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began = time.Now()
			if _, _, err := m.Authenticate(ctx, ""); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if n := asked.Load(); ignores && n != 2 {
				t.Errorf("asked %d times at once", n-1)
			}
			time.Sleep(2 * time.Hour) // what hangs ends in here
		})
	}
}

func TestAnEndpointThatFailsIsAskedEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		began := time.Now()
		m := sluice.TokenMechanism(func(context.Context) (sluice.Token, error) {
			asked = append(asked, time.Since(began))
			if len(asked) > 1 {
				return sluice.Token{}, errors.New("503")
			}
			return sluice.Token{Value: "good", Expires: began.Add(150 * time.Second)}, nil
		})
		for time.Since(began) < 149*time.Second {
			if got, _ := login(t, m); got != bearer("good") {
				t.Fatalf("%q", got)
			}
			time.Sleep(100 * time.Millisecond)
		}
		var want []time.Duration
		for _, second := range []int{0, 120, 121, 123, 127, 135, 145} {
			want = append(want, time.Duration(second)*time.Second)
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
	})
}
