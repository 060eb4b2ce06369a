package sluice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// SASL is a login: by name and password, or by tokens.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. PLAIN and OAUTHBEARER show their secret to whoever listens:
	// use TLS with them.
	Mechanism string

	// Username and Password are for all of them but OAUTHBEARER. The password is never printed.
	Username string
	Password string

	// Token gives a token for OAUTHBEARER: a func of yours, or ClientCredentials.Token. It has 10 s, and has to return when its
	// context ends: one token at a time is asked for. A client keeps the token for its connections, and asks for the next one when
	// a login needs it and 80 % of its life are over, or its last 5 s have begun. Meanwhile, and when there is none, the old one is
	// used to its end; after a failure the next is asked for 1 s later at the earliest, then 2 s, up to 10 s. Brokers that limit a
	// login's time (connections.max.reauth.ms) are logged in to again, on the same connection.
	Token func(context.Context) (Token, error)
}

// String hides the password.
func (s SASL) String() string {
	if s.Mechanism == oauthBearer {
		return s.Mechanism
	}
	return fmt.Sprintf("%s as %q", s.Mechanism, s.Username)
}

// LogValue hides the password.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON hides the password.
func (s SASL) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// Format hides the password, whatever the verb.
func (s SASL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// GoString hides the password.
func (s SASL) GoString() string { return s.String() }

const oauthBearer = "OAUTHBEARER"

func (s SASL) mechanism() (sasl.Mechanism, error) {
	if s.Mechanism == oauthBearer {
		if s.Token == nil {
			return nil, errors.New("OAUTHBEARER needs Token; ClientCredentials.Token asks a token endpoint")
		}
		return bearer{newTokenSource(s.Token)}, nil
	}
	if s.Username == "" || s.Password == "" {
		return nil, errors.New("a username and a password are required")
	}
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER", s.Mechanism)
}
