package servers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// clientTLS trusts an authority, and shows a certificate if one is given.
func clientTLS(t *testing.T, authority string, shown ...KeyPair) kgo.Opt {
	t.Helper()
	text, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(text)
	for _, pair := range shown {
		certificate, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	return kgo.DialTLSConfig(config)
}

func TestLogins(t *testing.T) {
	k := SecureKafka(t)
	encrypted := clientTLS(t, k.Certificates.CA)
	short, long := k.ScramUser(t, "SCRAM-SHA-256"), k.ScramUser(t, "SCRAM-SHA-512")
	for name, test := range map[string]struct{ good, bad sasl.Mechanism }{
		"PLAIN": {
			plain.Auth{User: k.User.Name, Pass: k.User.Password}.AsMechanism(),
			plain.Auth{User: k.User.Name, Pass: short.Password}.AsMechanism(),
		},
		"SCRAM-SHA-256": {
			scram.Auth{User: short.Name, Pass: short.Password}.AsSha256Mechanism(),
			scram.Auth{User: short.Name, Pass: long.Password}.AsSha256Mechanism(),
		},
		"SCRAM-SHA-512": {
			scram.Auth{User: long.Name, Pass: long.Password}.AsSha512Mechanism(),
			scram.Auth{User: short.Name, Pass: short.Password}.AsSha512Mechanism(),
		},
		"OAUTHBEARER": {
			oauth.Auth{Token: Token("web", time.Now().Add(time.Hour))}.AsMechanism(),
			oauth.Auth{Token: Token("web", time.Now().Add(-time.Hour))}.AsMechanism(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := askKafka(t.Context(), k.SASLPlaintext, kgo.SASL(test.good)); err != nil {
				t.Errorf("SASL_PLAINTEXT: %v", err)
			}
			if err := askKafka(t.Context(), k.SASLSSL, kgo.SASL(test.good), encrypted); err != nil {
				t.Errorf("SASL_SSL: %v", err)
			}
			err := askKafka(t.Context(), k.SASLPlaintext, kgo.SASL(test.bad))
			if err == nil || name != "OAUTHBEARER" && !errors.Is(err, kerr.SaslAuthenticationFailed) {
				t.Errorf("SASL_PLAINTEXT, a wrong login: %v", err)
			}
			t.Logf("a wrong login: %v", err)
			if err := askKafka(t.Context(), k.SASLSSL, kgo.SASL(test.bad), encrypted); err == nil {
				t.Error("SASL_SSL: a wrong login is let in")
			}
		})
	}
	for listener, address := range map[string]string{"SASL_PLAINTEXT": k.SASLPlaintext, "SASL_SSL": k.SASLSSL} {
		if err := askKafka(t.Context(), address); err == nil {
			t.Errorf("%s: nobody is let in", listener)
		}
	}
}

func TestCertificates(t *testing.T) {
	k := SecureKafka(t)
	c := k.Certificates
	for name, test := range map[string]struct {
		address string
		opt     kgo.Opt
		good    bool
	}{
		"SSL":                              {k.SSL, clientTLS(t, c.CA), true},
		"SSL, an unknown authority":        {k.SSL, clientTLS(t, c.Stranger), false},
		"SSL, an expired server":           {k.ExpiredSSL, clientTLS(t, c.CA), false},
		"mutual":                           {k.MutualTLS, clientTLS(t, c.CA, c.Client), true},
		"mutual, no certificate":           {k.MutualTLS, clientTLS(t, c.CA), false},
		"mutual, an expired certificate":   {k.MutualTLS, clientTLS(t, c.CA, c.ExpiredClient), false},
		"mutual, a stranger's certificate": {k.MutualTLS, clientTLS(t, c.CA, c.StrangerClient), false},
	} {
		err := askKafka(t.Context(), test.address, test.opt)
		if (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestNothingIsAllowedWithoutAnACL(t *testing.T) {
	k := SecureKafka(t)
	if _, err := k.Admin(t).CreateTopic(t.Context(), 1, 1, nil, "guarded"); err != nil {
		t.Fatal(err)
	}
	user := k.ScramUser(t, "SCRAM-SHA-256")
	for principal, opts := range map[string][]kgo.Opt{
		user.Principal(): {
			kgo.SeedBrokers(k.SASLPlaintext), kgo.SASL(scram.Auth{User: user.Name, Pass: user.Password}.AsSha256Mechanism()),
		},
		ClientPrincipal: {kgo.SeedBrokers(k.MutualTLS), clientTLS(t, k.Certificates.CA, k.Certificates.Client)},
		"User:web": {
			kgo.SeedBrokers(k.SASLPlaintext), kgo.SASL(oauth.Auth{Token: Token("web", time.Now().Add(time.Hour))}.AsMechanism()),
		},
	} {
		t.Run(principal, func(t *testing.T) {
			produce := func() error {
				client, err := kgo.NewClient(opts...)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				return client.ProduceSync(t.Context(), &kgo.Record{Topic: "guarded", Value: []byte("x")}).FirstErr()
			}
			if err := produce(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
				t.Errorf("before: %v", err)
			}
			k.Allow(t, kadm.NewACLs().Allow(principal).AllowHosts().Topics("guarded").
				ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite))
			if err := produce(); err != nil {
				t.Errorf("after: %v", err)
			}
		})
	}
}

func TestPasswordsNeedEscapes(t *testing.T) {
	u := newUser("a")
	if !strings.ContainsAny(u.Password, `"`) || !strings.ContainsAny(u.Password, `\`) {
		t.Error(u.Password)
	}
	u.Password = `a"b\c`
	if got := u.JAAS("PLAIN"); !strings.HasSuffix(got, ` password="a\\"b\\\\c";`) {
		t.Error(got)
	}
}
