package sluice

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/twmb/franz-go/pkg/sasl"
)

// TLSConfigs is what a client asks before each connection.
func TLSConfigs(base *tls.Config, files TLSFiles, log *slog.Logger) func() *tls.Config {
	return newTLSReader(base, files, log).config
}

// TokenMechanism is the login by tokens that a client has.
func TokenMechanism(token func(context.Context) (Token, error)) sasl.Mechanism {
	m, err := SASL{Mechanism: oauthBearer, Token: token}.mechanism()
	if err != nil {
		panic(err)
	}
	return m
}

// ExplainTopic says what an app says of a broker's error about a topic, or, with no topic, about its group.
func ExplainTopic(a *App, err error, topic string) error { return a.explain(err, topic) }
