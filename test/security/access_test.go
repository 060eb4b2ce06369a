package security

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// access is how a client means to get in: an address, and the lines of a properties file.
type access struct {
	address string
	lines   []string
}

// properties is the whole file.
func (a access) properties() string {
	return "bootstrap.servers=" + a.address + "\n" + strings.Join(a.lines, "\n") + "\n"
}

// login is SASL without TLS.
func login(address, mechanism string, u servers.User) access {
	return access{address, []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=" + mechanism, "sasl.jaas.config=" + u.JAAS(mechanism)}}
}

// loginTLS is SASL with TLS.
func loginTLS(address, mechanism string, u servers.User, authority string) access {
	return access{address, []string{
		"security.protocol=SASL_SSL", "sasl.mechanism=" + mechanism, "sasl.jaas.config=" + u.JAAS(mechanism),
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + authority,
	}}
}

// encrypted is TLS without a login.
func encrypted(address, authority string) access {
	return access{address, []string{"security.protocol=SSL", "ssl.ca.location=" + authority}}
}

// config is what the library reads.
func (a access) config(t *testing.T, group string) sluice.Config {
	t.Helper()
	cfg, err := sluice.FromProperties(strings.NewReader(a.properties()))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Group, cfg.Logger = group, slog.New(slog.NewTextHandler(t.Output(), nil))
	return cfg
}

// names are a topic, its dead letters and a group that no other test has.
type names struct{ topic, dead, group string }

// newNames makes the topics.
func newNames(t *testing.T, k *servers.SecureKafkaServer) names {
	t.Helper()
	base := "orders-" + strings.ToLower(rand.Text()[:8])
	n := names{topic: base, dead: base + ".dlq", group: base + "-to-sql"}
	made, err := k.Admin(t).CreateTopics(t.Context(), 1, 1, nil, n.topic, n.dead)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// allow lets a principal do what a pipeline and a producer of it need, and nothing else.
func (n names) allow(t *testing.T, k *servers.SecureKafkaServer, principal string) {
	t.Helper()
	n.allowTopics(t, k, principal)
	n.allowGroup(t, k, principal)
}

func (n names) allowGroup(t *testing.T, k *servers.SecureKafkaServer, principal string) {
	t.Helper()
	k.Allow(t, kadm.NewACLs().Allow(principal).AllowHosts().Groups(n.group).
		ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead))
}

func (n names) allowTopics(t *testing.T, k *servers.SecureKafkaServer, principal string) {
	t.Helper()
	k.Allow(t, kadm.NewACLs().Allow(principal).AllowHosts().Topics(n.topic).
		ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpWrite))
	k.Allow(t, kadm.NewACLs().Allow(principal).AllowHosts().Topics(n.dead).
		ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite))
}

// pipeline writes a file that the program runs, and the properties beside it.
func (n names) pipeline(t *testing.T, a access) (file, properties string) {
	t.Helper()
	dir := t.TempDir()
	file, properties = filepath.Join(dir, "orders.yaml"), filepath.Join(dir, "client.properties")
	write(t, properties, a.properties())
	write(t, file, fmt.Sprintf(`name: orders-to-sql
kafka: {properties: '%s'}
source: {topics: [%s], group: %s, start: earliest}
decode: json
sink: {sql: {dsn: 'sqlite:%s', table: orders, mode: insert, create: true, columns: {id: {path: id, type: int}}}}
dead_letter: {topic: %s}
`, properties, n.topic, n.group, filepath.Join(dir, "orders.db"), n.dead))
	return file, properties
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var words = regexp.MustCompile(`[0-9A-Za-z]{6,}`)

// keepsSecret demands that no part of a password stands in a text, escaped or not.
func keepsSecret(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, word := range words.FindAllString(secret, -1) {
			if strings.Contains(text, word) {
				t.Errorf("%s tells %q of the password:\n%s", where, word, text)
			}
		}
	}
}
