package servers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/sluice-go/sluice/test/process"
)

// SecureKafkaServer is one Apache Kafka node that has a listener for each way to log in, and that allows nothing to anybody
// without an ACL: see [SecureKafkaServer.Allow]. Each address is host:port, with a certificate for that host where there is
// TLS.
type SecureKafkaServer struct {
	server

	// SASLPlaintext and SASLSSL let in with PLAIN (User), SCRAM-SHA-256, SCRAM-SHA-512 (ScramUser) and OAUTHBEARER (Token).
	SASLPlaintext string
	SASLSSL       string

	// ShortLogins is SASLPlaintext, but for OAUTHBEARER a login ends after LoginLife: who has not logged in again on the same
	// connection by then is cut off.
	ShortLogins string

	// MutualTLS lets in whoever shows a certificate of Certificates.CA, as User:CN=… (Principal of Certificates.Client:
	// ClientPrincipal).
	MutualTLS string

	// SSL and Plaintext let in everybody, as User:ANONYMOUS, a super user: for what is not about access control, and for
	// the tests' own clients.
	SSL       string
	Plaintext string

	// ExpiredSSL is SSL with a certificate that ended an hour ago.
	ExpiredSSL string

	Certificates Certificates
	User         User // for PLAIN
}

// LoginLife is how long a login lasts on ShortLogins.
const LoginLife = 3 * time.Second

// ClientPrincipal is who Certificates.Client is.
const ClientPrincipal = "User:CN=client"

// User is a name and a password. The passwords hold what JAAS and properties files escape.
type User struct{ Name, Password string }

// Principal is what ACLs call the user.
func (u User) Principal() string { return "User:" + u.Name }

// JAAS is the user's sasl.jaas.config, as it stands in a properties file, for PLAIN or one of SCRAM.
func (u User) JAAS(mechanism string) string {
	module := "org.apache.kafka.common.security.scram.ScramLoginModule"
	if mechanism == "PLAIN" {
		module = "org.apache.kafka.common.security.plain.PlainLoginModule"
	}
	return fmt.Sprintf("%s required username=%s password=%s;", module, quoteJAAS(u.Name), quoteJAAS(u.Password))
}

// quoteJAAS quotes for JAAS, and then for a properties file.
func quoteJAAS(s string) string {
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	return strings.ReplaceAll(quoted, `\`, `\\`)
}

func newUser(name string) User {
	return User{Name: name + "-" + strings.ToLower(rand.Text()[:8]), Password: `p4ss"word\` + rand.Text() + "; end=1"}
}

// Kill ends the broker with SIGKILL.
func (k *SecureKafkaServer) Kill(tb testing.TB) { tb.Helper(); k.kill(tb) }

// Stop ends the broker as an operator does.
func (k *SecureKafkaServer) Stop(tb testing.TB) { tb.Helper(); k.stop(tb) }

// Restart starts the broker again, on its data and its ports, killing it first if it runs. It returns when the broker
// answers.
func (k *SecureKafkaServer) Restart(tb testing.TB) { tb.Helper(); k.restartFor(tb) }

// Admin is a client that may do everything, until the end of the test.
func (k *SecureKafkaServer) Admin(tb testing.TB) *kadm.Client {
	tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Plaintext))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// ScramUser makes a user who can log in with one mechanism, SCRAM-SHA-256 or SCRAM-SHA-512, and whom nothing is allowed yet.
func (k *SecureKafkaServer) ScramUser(tb testing.TB, mechanism string) User {
	tb.Helper()
	user := newUser("scram")
	auth := scram.Auth{User: user.Name, Pass: user.Password}
	number, login := kadm.ScramSha256, auth.AsSha256Mechanism()
	if mechanism == "SCRAM-SHA-512" {
		number, login = kadm.ScramSha512, auth.AsSha512Mechanism()
	}
	altered, err := k.Admin(tb).AlterUserSCRAMs(tb.Context(), nil, []kadm.UpsertSCRAM{{
		User: user.Name, Mechanism: number, Iterations: 4096, Password: user.Password,
	}})
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		tb.Fatalf("make the user %s: %v", user.Name, err)
	}
	// The controller knows the user now; the broker soon.
	await(tb, "the user "+user.Name+" can log in", func(ctx context.Context) error {
		return askKafka(ctx, k.SASLPlaintext, kgo.SASL(login))
	})
	return user
}

// Allow makes ACLs, and waits until they hold. They stay as long as the broker, so name topics and groups of your own.
func (k *SecureKafkaServer) Allow(tb testing.TB, acls *kadm.ACLBuilder) {
	tb.Helper()
	admin := k.Admin(tb)
	made, err := admin.CreateACLs(tb.Context(), acls)
	if err != nil {
		tb.Fatalf("make ACLs: %v", err)
	}
	for _, r := range made {
		if r.Err != nil {
			tb.Fatalf("make an ACL for %s: %v %s", r.Principal, r.Err, r.ErrMessage)
		}
	}
	await(tb, "the ACLs hold", func(ctx context.Context) error {
		described, err := admin.DescribeACLs(ctx, acls)
		if err != nil {
			return err
		}
		held := 0
		for _, r := range described {
			held += len(r.Described)
		}
		if held < len(made) {
			return fmt.Errorf("%d of %d", held, len(made))
		}
		return nil
	})
}

// Token is what OAUTHBEARER lets a user in with until its end. Nobody has signed it.
func Token(user string, end time.Time) string {
	claims, err := json.Marshal(map[string]any{"sub": user, "iat": end.Add(-time.Hour).Unix(), "exp": end.Unix()})
	if err != nil {
		panic(err) // strings and numbers
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(claims) + "."
}

// await asks again until there is no error.
func await(tb testing.TB, what string, ask process.Probe) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), process.StopTimeout)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		if !process.Pause(ctx) {
			tb.Fatalf("waited %v until %s: %v", process.StopTimeout, what, err)
		}
	}
}

func startSecureKafka() (*SecureKafkaServer, error) {
	k := &SecureKafkaServer{User: newUser("plain")}
	var err error
	k.server, err = startNode("Kafka with logins", k.plan)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// plan writes the certificates, takes ports, and says what the broker is to do.
func (k *SecureKafkaServer) plan(ctx context.Context, dir *dataDir) (plan, error) {
	clients, broker, err := writeCertificates(dir)
	if err != nil {
		return plan{}, err
	}
	k.Certificates = clients
	addresses := []*string{&k.Plaintext, &k.SASLPlaintext, &k.ShortLogins, &k.SASLSSL, &k.SSL, &k.MutualTLS, &k.ExpiredSSL}
	ports, err := freePorts(ctx, len(addresses)+1)
	if err != nil {
		return plan{}, err
	}
	for i, a := range addresses {
		*a = address(ports[i])
	}
	settings := []string{
		kafkaProperties(address(ports[len(addresses)]), dir.file("data"),
			listener{"PLAINTEXT", "PLAINTEXT", k.Plaintext},
			listener{"SASL_PLAINTEXT", "SASL_PLAINTEXT", k.SASLPlaintext},
			listener{"SHORT", "SASL_PLAINTEXT", k.ShortLogins},
			listener{"SASL_SSL", "SASL_SSL", k.SASLSSL},
			listener{"SSL", "SSL", k.SSL},
			listener{"MUTUAL", "SSL", k.MutualTLS},
			listener{"EXPIRED", "SSL", k.ExpiredSSL}),
		// The broker and its controller talk to each other without a login.
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS",
		"allow.everyone.if.no.acl.found=false",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		k.logins("sasl_plaintext"), k.logins("sasl_ssl"), k.logins("short"),
		fmt.Sprintf("listener.name.short.oauthbearer.connections.max.reauth.ms=%d", LoginLife.Milliseconds()),
		shows("sasl_ssl", broker.valid), shows("ssl", broker.valid), shows("mutual", broker.valid), shows("expired", broker.expired),
		"listener.name.mutual.ssl.client.auth=required",
		"listener.name.mutual.ssl.truststore.type=PEM",
		"listener.name.mutual.ssl.truststore.location=" + clients.CA,
	}
	return plan{properties: strings.Join(settings, "\n"), probed: k.Plaintext}, nil
}

// logins are the settings of a listener with SASL.
func (k *SecureKafkaServer) logins(name string) string {
	const security = "org.apache.kafka.common.security."
	return fmt.Sprintf(`listener.name.%[1]s.plain.sasl.jaas.config=%[2]splain.PlainLoginModule required user_%[3]s=%[4]s;
listener.name.%[1]s.scram-sha-256.sasl.jaas.config=%[2]sscram.ScramLoginModule required;
listener.name.%[1]s.scram-sha-512.sasl.jaas.config=%[2]sscram.ScramLoginModule required;
listener.name.%[1]s.oauthbearer.sasl.jaas.config=%[2]soauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.%[1]s.oauthbearer.sasl.server.callback.handler.class=%[2]soauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler`,
		name, security, k.User.Name, quoteJAAS(k.User.Password))
}

// shows are the settings of a listener with TLS.
func shows(name string, certificate KeyPair) string {
	return fmt.Sprintf("listener.name.%[1]s.ssl.keystore.type=PEM\nlistener.name.%[1]s.ssl.keystore.location=%[2]s", name, certificate.Both)
}
