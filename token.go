package sluice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

// Token is what SASL.Token gives for a login with OAUTHBEARER.
type Token struct {
	// Value is the token itself. Never printed.
	Value string

	// Expires is when it ends. Zero: unknown; every login, and each renewal of one, then asks for another token. Those
	// that wait for one at the same time share it.
	Expires time.Time

	// Extensions go to the broker beside it (RFC 7628, KIP-342). May be nil.
	Extensions map[string]string
}

// String hides the token.
func (t Token) String() string { return "token until " + t.Expires.Format(time.RFC3339) }

// Format hides the token, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// GoString hides the token.
func (t Token) GoString() string { return t.String() }

// LogValue hides the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON hides the token.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

const (
	tokenTimeout = 10 * time.Second // of one request for a token
	tokenPause   = time.Second      // after a failure; doubled up to tokenTimeout
	tokenLife    = 0.8              // the part of its life for which a token is used

	// tokenRest is what a login needs at least of a token's life. A broker ends the login with its token, so the client renews it a
	// second before, and brokers take no login that comes within a second of the last (seen: ILLEGAL_SASL_STATE on a commit).
	tokenRest = 5 * time.Second
)

// tokenSource keeps a token for the logins of one client.
type tokenSource struct {
	fetch func(context.Context) (Token, error)

	mu    sync.Mutex
	token Token
	until time.Time   // when another is fetched
	under *tokenFetch // the fetch under way: one at a time; nil where there is none
	pause time.Duration
	again time.Time // after a failure: not before, while the old token is good
}

// tokenFetch is one request for a token, which all logins share that wait for it. The rest is there once done is closed.
type tokenFetch struct {
	done  chan struct{}
	token Token
	err   error
}

func newTokenSource(fetch func(context.Context) (Token, error)) *tokenSource {
	return &tokenSource{fetch: fetch}
}

// get returns a token that has not come near its end. One that is near it is still good when there is no other: at once, but for
// the login that has the next one fetched, and for those that come in its last seconds. They wait for half of what is left of it.
func (s *tokenSource) get(ctx context.Context) (Token, error) {
	s.mu.Lock()
	now, old := time.Now(), s.token
	if now.Before(s.until) {
		s.mu.Unlock()
		return old, nil
	}
	left := time.Duration(0)
	if old.Value != "" && now.Before(old.Expires) {
		left = old.Expires.Sub(now)
	}
	waits := left <= tokenRest
	if s.under == nil && (left == 0 || !now.Before(s.again)) {
		waits = true
		s.under = &tokenFetch{done: make(chan struct{})}
		go s.run(context.WithoutCancel(ctx), s.under)
	}
	f := s.under
	s.mu.Unlock()
	patience := tokenTimeout
	if left > 0 {
		if f == nil || !waits {
			return old, nil
		}
		patience = min(patience, left/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	select {
	case <-f.done:
		if f.err == nil {
			return f.token, nil
		}
		err = f.err
	case <-ctx.Done():
		err = fmt.Errorf("SASL.Token has not returned: %w", ctx.Err())
	}
	if left > 0 && time.Now().Before(old.Expires) {
		return old, nil
	}
	return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
}

// run fetches a token. No login's end is its end: others may wait for it.
func (s *tokenSource) run(ctx context.Context, f *tokenFetch) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	asked := time.Now()
	t, err := s.fetch(ctx)
	switch {
	case err == nil && t.Value == "":
		err = errors.New("SASL.Token returned an empty one")
	case err == nil && !t.Expires.IsZero() && !t.Expires.After(asked):
		err = fmt.Errorf("SASL.Token returned one that ended at %v", t.Expires.Format(time.RFC3339))
	}
	f.token, f.err = t, err
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under = nil
	close(f.done)
	if err != nil {
		s.pause = min(max(2*s.pause, tokenPause), tokenTimeout)
		s.again = time.Now().Add(s.pause)
		return
	}
	s.token, s.until, s.pause, s.again = t, time.Time{}, 0, time.Time{}
	if !t.Expires.IsZero() {
		life := t.Expires.Sub(asked)
		s.until = asked.Add(min(time.Duration(tokenLife*float64(life)), life-tokenRest))
	}
}

// refused forgets a token that a broker did not take, so that the next login has another.
func (s *tokenSource) refused(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Value == value {
		s.token, s.until = Token{}, time.Time{}
	}
}

// bearer is the mechanism OAUTHBEARER. kgo's own takes a broker's refusal for data that it did not expect.
type bearer struct{ tokens *tokenSource }

// Name implements sasl.Mechanism.
func (bearer) Name() string { return "OAUTHBEARER" }

// Authenticate implements sasl.Mechanism.
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	t, err := b.tokens.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, first, err := oauth.Auth{Token: t.Value, Extensions: t.Extensions}.AsMechanism().Authenticate(ctx, host)
	return bearerSession{b.tokens, t.Value}, first, err
}

type bearerSession struct {
	tokens *tokenSource
	value  string
}

// Challenge implements sasl.Session. An answer that is not empty says why the token is refused (RFC 7628, 3.2.2): it may be
// anything, and is not shown but for its status.
func (s bearerSession) Challenge(answer []byte) (done bool, next []byte, err error) {
	if len(answer) == 0 {
		return true, nil, nil
	}
	s.tokens.refused(s.value)
	return false, nil, fmt.Errorf("%w: the token is refused%s", ErrAuthentication, refusalStatus(answer))
}
