package sluice_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sluice-go/sluice"
)

func TestGoodProperties(t *testing.T) {
	base := sluice.Config{Brokers: []string{"a:9092"}, Group: "g"}
	with := func(f func(*sluice.Config)) sluice.Config { c := base; f(&c); return c }
	login := func(user, secret string) sluice.Config {
		return with(func(c *sluice.Config) {
			c.SASL = &sluice.SASL{Mechanism: "PLAIN", Username: user, Password: secret}
		})
	}
	const head, sasl = "bootstrap.servers=a:9092\ngroup.id=g\n", "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
	jaas := func(s string) string { return head + sasl + "sasl.jaas.config=" + s + "\n" }
	for name, c := range map[string]struct {
		text string
		want sluice.Config
	}{
		"nothing":              {"", sluice.Config{}},
		"equals":               {"bootstrap.servers=a:9092\ngroup.id=g", base},
		"colons":               {"bootstrap.servers:a:9092\ngroup.id:g\n", base},
		"spaces":               {"bootstrap.servers a:9092\ngroup.id\tg\n", base},
		"spaces around":        {"  bootstrap.servers  =  a:9092  \n\tgroup.id : g\t\n", base},
		"comments":             {"# one\n! two\n\n   # three=3\nbootstrap.servers=a:9092\n#\ngroup.id=g\n", base},
		"no comment":           {head + "client.id=a#b!c\n", with(func(c *sluice.Config) { c.ClientID = "a#b!c" })},
		"windows":              {"bootstrap.servers=a:9092\r\ngroup.id=g\r\n", base},
		"brokers":              {"bootstrap.servers=a:9092, b:9093 ,c:1\ngroup.id=g\n", with(func(c *sluice.Config) { c.Brokers = []string{"a:9092", "b:9093", "c:1"} })},
		"continued":            {"bootstrap.servers=a:9092,\\\n   b:9093,\\\n\tc:1\ngroup.id=g\n", with(func(c *sluice.Config) { c.Brokers = []string{"a:9092", "b:9093", "c:1"} })},
		"continued to no end":  {"bootstrap.servers=a:9092\ngroup.id=g\\", base},
		"a continued name":     {"bootstrap.\\\n  servers=a:9092\ngroup.id=g", base},
		"no comment within":    {head + "client.id=a\\\n#b\n", with(func(c *sluice.Config) { c.ClientID = "a#b" })},
		"escapes":              {head + `client.id=\u0061\tb\n\r\f\\c\q` + "\n", with(func(c *sluice.Config) { c.ClientID = "a\tb\n\r\f\\cq" })},
		"an escape cut off":    {head + `client.id=x\u12` + "\n", with(func(c *sluice.Config) { c.ClientID = "xu12" })},
		"a backslash at last":  {head + `client.id=x\\` + "\n", with(func(c *sluice.Config) { c.ClientID = `x\` })},
		"separators in values": {head + "client.id==a=b:c d\n", with(func(c *sluice.Config) { c.ClientID = "=a=b:c d" })},
		"client and session":   {head + "client.id=me\nsession.timeout.ms=6000\n", with(func(c *sluice.Config) { c.ClientID, c.SessionTimeout = "me", 6*time.Second })},
		"plain text":           {head + "security.protocol=PLAINTEXT\n", base},
		"in lower case":        {head + "security.protocol=plaintext\n", base},
		"username, password":   {head + sasl + "sasl.username=alice\nsasl.password=p w\n", login("alice", "p w")},
		"JAAS":                 {jaas(`org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="secret";`), login("alice", "secret")},
		"JAAS, single quotes":  {jaas(`x.PlainLoginModule required username='alice' password='sec"ret' ;`), login("alice", `sec"ret`)},
		"JAAS, other order":    {jaas(`x.PlainLoginModule required password="secret" username="alice";`), login("alice", "secret")},
		"JAAS, more options":   {jaas(`x.PlainLoginModule required serviceName="k" username="alice" password="secret" tokenauth="false";`), login("alice", "secret")},
		"JAAS, escapes":        {jaas(`x.PlainLoginModule required username="alice" password="a\\"b\\\\c;=d";`), login("alice", `a"b\c;=d`)},
		"JAAS, lines":          {jaas("x.PlainLoginModule required \\\n  username=\"alice\" \\\n  password=\"secret\";"), login("alice", "secret")},
		"JAAS, blanks":         {jaas(`x.PlainLoginModule required username = "alice" password= "secret" ;`), login("alice", "secret")},
		"JAAS, capitals":       {jaas(`x.PlainLoginModule Required username="alice" password="secret";`), login("alice", "secret")},
		"JAAS, a line, a tab":  {jaas(`x.PlainLoginModule\trequired\n username="alice"\tpassword="secret";`), login("alice", "secret")},
		"JAAS, words":          {jaas(`x.PlainLoginModule required username=alice password=secret;`), login("alice", "secret")},
		"JAAS, Java's escapes": {jaas(`x.PlainLoginModule required username="alice" password="a\\tb";`), login("alice", "a\tb")},
		"a mark at the start":  {"\ufeff" + head, base},
		"characters in two":    {head + sasl + "sasl.username=alice\nsasl.password=p\\ud83d\\ude00\\ud83dq", login("alice", "p😀\ufffdq")},
		"JAAS before the rest": {
			`sasl.jaas.config=x.PlainLoginModule required username="alice" password="secret";` + "\n" + sasl + head, login("alice", "secret"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sluice.FromProperties(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %+v, %+v\nwant %+v, %+v", got, got.SASL, c.want, c.want.SASL)
			}
		})
	}
}

func TestPropertiesTakeAnAuthorityFromWhereItIs(t *testing.T) {
	ca := newAuthority(t)
	file := ca.file(t)
	inline := strings.ReplaceAll(strings.TrimSpace(string(ca.pem)), "\n", `\n`)
	for name, text := range map[string]string{
		"truststore":           "ssl.truststore.type=PEM\nssl.truststore.location=" + file,
		"truststore, any case": "ssl.truststore.type=pem\nssl.truststore.location=" + file,
		"no type":              "ssl.truststore.location=" + file,
		"librdkafka":           "ssl.ca.location=" + file,
		"inline":               "ssl.truststore.type=PEM\nssl.truststore.certificates=" + inline,
	} {
		for _, protocol := range []string{"SSL", "ssl"} {
			cfg, err := sluice.FromProperties(strings.NewReader("security.protocol=" + protocol + "\n" + text))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if cfg.TLS == nil || cfg.TLS.RootCAs == nil || !cfg.TLS.RootCAs.Equal(ca.client().RootCAs) || cfg.TLS.InsecureSkipVerify || cfg.SASL != nil {
				t.Errorf("%s: %+v", name, cfg.TLS)
			}
		}
	}
	cfg, err := sluice.FromProperties(strings.NewReader("security.protocol=SSL"))
	if err != nil || cfg.TLS == nil || cfg.TLS.RootCAs != nil || cfg.TLS.InsecureSkipVerify {
		t.Errorf("the system's authorities: %+v, %v", cfg.TLS, err)
	}
}

// configErrors are the single mistakes of a joined error.
func configErrors(err error) []*sluice.ConfigError {
	var all []*sluice.ConfigError
	if e, ok := err.(*sluice.ConfigError); ok { //nolint:errorlint // every one of a tree of errors
		return append(all, e)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, configErrors(e)...)
		}
	}
	return all
}

// propertyMistakes are the mistakes of a file, which has to be refused.
func propertyMistakes(t *testing.T, text string) []*sluice.ConfigError {
	t.Helper()
	cfg, err := sluice.FromProperties(strings.NewReader(text))
	if !errors.Is(err, sluice.ErrConfig) || !reflect.DeepEqual(cfg, sluice.Config{}) {
		t.Fatalf("%v, %+v", err, cfg)
	}
	return configErrors(err)
}

func TestBadProperties(t *testing.T) {
	jks := filepath.Join(t.TempDir(), "trust.jks")
	if err := os.WriteFile(jks, []byte{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
	const sasl = "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n"
	const form = "not of the form"
	for name, c := range map[string]struct {
		text string
		line int
		name string
		says string
	}{
		"unknown":              {"\ngroup.idd=g", 2, "group.idd", "did you mean group.id?"},
		"unknown, a typo":      {"boostrap.servers=a", 1, "boostrap.servers", "did you mean bootstrap.servers?"},
		"unknown, a synonym":   {"sasl.mechanisms=PLAIN", 1, "sasl.mechanisms", "here it is sasl.mechanism"},
		"unknown, in capitals": {"Client.Id=a", 1, "Client.Id", "did you mean client.id?"},
		"unknown, like none":   {"x=1", 1, "(not shown)", "not the name of a property"},
		"twice":                {"group.id=g\n\n# and\ngroup.id=h", 4, "group.id", "given before, in line 1"},
		"twice, the same":      {"group.id=g\ngroup.id= g", 2, "group.id", "given before, in line 1"},
		"number":               {"session.timeout.ms=6s", 1, "session.timeout.ms", `"6s": accepted are whole numbers from 100 to 2147483647, in milliseconds`},
		"number, zero":         {"session.timeout.ms=0", 1, "session.timeout.ms", "whole numbers from 100"},
		"number, negative":     {"session.timeout.ms=-1", 1, "session.timeout.ms", "whole numbers from 100"},
		"number, none":         {"session.timeout.ms", 1, "session.timeout.ms", "whole numbers from 100"},
		"after a continuation": {"bootstrap.servers=a,\\\n b\nsession.timeout.ms=x", 3, "session.timeout.ms", "whole numbers from 100"},
		"of a continued line":  {"# one\nsession.timeout.ms=\\\n x", 2, "session.timeout.ms", "whole numbers from 100"},
		"protocol":             {"security.protocol=TLS", 1, "security.protocol", `"TLS" is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL`},
		"login, no protocol":   {"sasl.mechanism=PLAIN", 1, "sasl.mechanism", "no effect without security.protocol=SASL_PLAINTEXT"},
		"login, plain text":    {"security.protocol=PLAINTEXT\nsasl.password=hunter2", 2, "sasl.password", "no effect"},
		"login, TLS only":      {"security.protocol=SSL\nsasl.username=u", 2, "sasl.username", "no effect"},
		"TLS, no protocol":     {"ssl.ca.location=x", 1, "ssl.ca.location", "no effect without security.protocol=SSL"},
		"TLS, plain login": {
			"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=hunter2\nssl.truststore.type=PEM", 5, "ssl.truststore.type", "no effect",
		},
		"mechanism":          {"security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI\nsasl.username=u\nsasl.password=hunter2", 2, "sasl.mechanism", `"GSSAPI" is none of PLAIN`},
		"no mechanism":       {"security.protocol=SASL_SSL\nsasl.username=u\nsasl.password=hunter2", 1, "security.protocol", "give sasl.mechanism"},
		"no password":        {sasl + "sasl.username=u", 2, "sasl.mechanism", "username and a password"},
		"JAAS, no end":       {sasl + `sasl.jaas.config=x required username="u" password="hunter2"`, 3, "sasl.jaas.config", form},
		"JAAS, no required":  {sasl + `sasl.jaas.config=x username="u" password="hunter2";`, 3, "sasl.jaas.config", form},
		"JAAS, no quotes":    {sasl + `sasl.jaas.config=x required username=u password=hunter2!;`, 3, "sasl.jaas.config", form},
		"JAAS, no end quote": {sasl + `sasl.jaas.config=x required username="u" password="hunter2;`, 3, "sasl.jaas.config", form},
		"JAAS, other quote":  {sasl + `sasl.jaas.config=x required username="u" password="hunter2';`, 3, "sasl.jaas.config", form},
		"JAAS, a word":       {sasl + `sasl.jaas.config=x required username="u" hunter2;`, 3, "sasl.jaas.config", form},
		"JAAS, no value":     {sasl + `sasl.jaas.config=x required username="u" password=;`, 3, "sasl.jaas.config", form},
		"JAAS, no user":      {sasl + `sasl.jaas.config=x required password="hunter2";`, 3, "sasl.jaas.config", "username and a password"},
		"JAAS, empty":        {sasl + `sasl.jaas.config=`, 3, "sasl.jaas.config", form},
		"JKS":                {"security.protocol=SSL\nssl.truststore.type=JKS\nssl.truststore.location=" + jks, 2, "ssl.truststore.type", `"JKS" cannot be read; convert it`},
		"PKCS12":             {"security.protocol=SSL\nssl.truststore.type=PKCS12", 2, "ssl.truststore.type", `"PKCS12" cannot be read`},
		"JKS, not said":      {"security.protocol=SSL\nssl.truststore.location=" + jks, 2, "ssl.truststore.location", "no certificate in PEM"},
		"no such file":       {"security.protocol=SSL\nssl.ca.location=/no/such/ca.pem", 2, "ssl.ca.location", "/no/such/ca.pem"},
		"no certificate":     {"security.protocol=SSL\nssl.truststore.certificates=x", 2, "ssl.truststore.certificates", "no certificate in PEM"},
		"algorithm":          {"security.protocol=SSL\nssl.endpoint.identification.algorithm=none", 2, "ssl.endpoint.identification.algorithm", "neither https nor empty"},
		"key store":          {"security.protocol=SSL\nssl.keystore.password=hunter2", 2, "ssl.keystore.password", "only PEM is read"},
	} {
		t.Run(name, func(t *testing.T) {
			all := propertyMistakes(t, c.text)
			if len(all) != 1 {
				t.Fatalf("%d mistakes: %v", len(all), all)
			}
			if p := all[0]; p.Line != c.line || p.Property != c.name || !strings.Contains(p.Error(), c.says) ||
				!strings.HasPrefix(p.Error(), fmt.Sprintf("line %d: %s", c.line, c.name)) || strings.Contains(p.Error(), "hunter2") {
				t.Fatalf("%v, want line %d, %s and %q", p, c.line, c.name, c.says)
			}
		})
	}
}

func TestEveryMistakeOfAFileIsToldInOrder(t *testing.T) {
	all := propertyMistakes(t, strings.Join([]string{
		"z.zz=1", "session.timeout.ms=x", "sasl.password=hunter2", "bootstrap.servers=a", "bootstrap.servers=b", "ssl.ca.location=c", "a.aa=hunter2",
	}, "\n"))
	var got []string
	for _, p := range all {
		got = append(got, fmt.Sprint(p.Line, p.Property))
	}
	want := []string{"1z.zz", "2session.timeout.ms", "3sasl.password", "5bootstrap.servers", "6ssl.ca.location", "7a.aa"}
	if !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if strings.Contains(fmt.Sprint(all), "hunter2") {
		t.Fatalf("a secret is told: %v", all)
	}
}

func TestPropertiesThatCannotBeRead(t *testing.T) {
	if _, err := sluice.FromProperties(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if _, err := sluice.FromProperties(strings.NewReader("client.id=" + strings.Repeat("x", 2<<20))); err == nil {
		t.Error("a line of 2 MiB was read")
	}
}

// FuzzFromProperties puts a password where one belongs, broken in any way, into any file: nothing panics and no error tells it.
func FuzzFromProperties(f *testing.F) {
	for _, s := range [][4]string{
		{"bootstrap.servers=a:1\ngroup.id=g\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "x required username=\"u\" password=\"", "\";", ""},
		{"security.protocol = SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\\", "x required username='u' password='", "' ;", "group.id=g\\"},
		{"# c\n! d\nssl.truststore.type=JKS", "", "", "sasl.username=\\u0061"},
		{"a\\ b=c\nx:y\nz", "password=", ";", "session.timeout.ms=-1\nsasl.password=1"},
		{"security.protocol=SSL\nssl.endpoint.identification.algorithm=\nssl.truststore.certificates=x", `\\\"`, `\u`, "\x00\xff"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	const secret = "Xy7-Tr0ub4dor-Zq9"
	f.Fuzz(func(t *testing.T, before, left, right, after string) {
		line := strings.NewReplacer("\n", " ", "\r", " ")
		for _, name := range []string{"sasl.jaas.config", "sasl.password"} {
			text := before + "\n\n" + name + "=" + line.Replace(left) + secret + line.Replace(right) + "\n\n" + after
			cfg, err := sluice.FromProperties(strings.NewReader(text))
			if err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secret)) {
				t.Fatalf("the password is told: %v\nof\n%s", err, text)
			}
			if err == nil && cfg.SASL != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", cfg.SASL, cfg, *cfg.SASL), secret) {
				t.Fatalf("the password is printed: %+v", cfg)
			}
		}
	})
}
