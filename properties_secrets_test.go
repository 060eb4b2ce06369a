package sluice_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// onlyPropertyMistake demands that a file has one mistake, which tells no secret.
func onlyPropertyMistake(t *testing.T, text, property, says string) *sluice.ConfigError {
	t.Helper()
	all := propertyMistakes(t, text)
	told := errors.Join(toErrors(all)...).Error()
	if len(all) != 1 || all[0].Property != property || !strings.Contains(told, says) {
		t.Fatalf("%s, want %s and %q", told, property, says)
	}
	if strings.Contains(told, "hunter") {
		t.Errorf("a secret is told: %s", told)
	}
	return all[0]
}

func TestLinesThatMayBeSecretsAreNotShown(t *testing.T) {
	const login = "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=p\n"
	for name, c := range map[string]struct{ text, says string }{
		"a name that is missing":         {login + "  = hunter2", "line 5: (not shown): no name stands before"},
		"and with a colon":               {login + ":hunter2", "line 5: (not shown): no name stands before"},
		"a line twice":                   {"\"hunter2\";\n\"hunter2\";", "given before, in line 1"},
		"a line of its own":              {login + "hunter-two", "line 5: (not shown)"},
		"a line with a blank":            {login + "hunter-two three", "line 5: (not shown)"},
		"a line of its own, twice":       {login + strings.Repeat("hunter-two\n", 2), "line 6: (not shown): given before"},
		"a line twice, not the same way": {login + "hunter-two\nhunter-two=1", "line 6: (not shown): given before"},
	} {
		_, err := sluice.FromProperties(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	_ = onlyPropertyMistake(t, "group.idd", "group.idd", "did you mean group.id?")
	_ = onlyPropertyMistake(t, "a.name-of-ours=hunter2", "a.name-of-ours", "not known")
}

func TestPEMInPlaceOfAFile(t *testing.T) {
	const text = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"
	line := strings.ReplaceAll(text, "\n", `\n`)
	for property, own := range map[string]string{
		"ssl.truststore.location": "ssl.truststore.certificates", "ssl.ca.location": "ssl.truststore.certificates",
		"ssl.keystore.location": "ssl.keystore.key", "ssl.certificate.location": "ssl.keystore.key", "ssl.key.location": "ssl.keystore.key",
	} {
		for _, value := range []string{line, `hunter2\nhunter2`} {
			if e := onlyPropertyMistake(t, "security.protocol=SSL\n"+property+"="+value, property, own); e.Value != "" {
				t.Errorf("%+v", e)
			}
		}
	}
	for field, files := range map[string]sluice.TLSFiles{
		"TLSFiles.CA": {CA: text}, "TLSFiles.Certificate": {Certificate: text}, "TLSFiles.Key": {Key: text},
	} {
		cfg := goodConfig()
		cfg.TLSFiles = files
		if e := onlyMistake(t, cfg); e.Field != field || e.Value != "" || strings.Contains(e.Error(), "hunter2") || !strings.Contains(e.Problem, "is PEM itself") {
			t.Errorf("%+v", e)
		}
	}
}

func TestPropertiesThatContradictEachOther(t *testing.T) {
	ca := newAuthority(t)
	certificate, key := ca.sign(t, "client", time.Now().Add(time.Hour))
	both := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(both, joined(certificate, key), 0o600); err != nil {
		t.Fatal(err)
	}
	line := func(text []byte) string { return strings.ReplaceAll(string(text), "\n", `\n`) }
	chain := "ssl.keystore.certificate.chain=" + line(certificate) + "\nssl.keystore.key=" + line(key) + "\n"
	const ssl, sasl = "security.protocol=SSL\n", "security.protocol=SASL_SSL\nsasl.mechanism="
	const jaas = "sasl.jaas.config=x required username=\"u\" password=\"hunter2\""
	for name, c := range map[string]struct{ text, property, says string }{
		"authorities":             {ssl + "ssl.truststore.location=" + both + "\nssl.truststore.certificates=" + line(ca.pem), "ssl.truststore.certificates", "give one of the two"},
		"authorities by file":     {ssl + "ssl.truststore.location=" + both + "\nssl.ca.location=" + both, "ssl.ca.location", "give one of the two"},
		"librdkafka's and Java's": {ssl + "ssl.ca.location=" + both + "\nssl.truststore.certificates=" + line(ca.pem), "ssl.truststore.certificates", "give one of the two"},
		"certificates":            {ssl + "ssl.keystore.location=" + both + "\n" + chain, "ssl.keystore.certificate.chain", "give one of the two"},
		"a key":                   {ssl + "ssl.keystore.location=" + both + "\nssl.keystore.key=" + line(key), "ssl.keystore.key", "give one of the two"},
		"certificates by file":    {ssl + "ssl.keystore.location=" + both + "\nssl.certificate.location=" + both, "ssl.certificate.location", "give one of the two"},
		"a user and JAAS":         {sasl + "PLAIN\nsasl.username=u\n" + jaas + ";", "sasl.username", "sasl.jaas.config is given as well"},
		"a password and JAAS":     {sasl + "PLAIN\nsasl.password=hunter2\n" + jaas + ";", "sasl.password", "sasl.jaas.config is given as well"},
		"a user and tokens":       {sasl + "OAUTHBEARER\nsasl.username=u", "sasl.username", "no effect with sasl.mechanism=OAUTHBEARER"},
		"two modules":             {sasl + "PLAIN\n" + jaas + "; y required username=\"u\";", "sasl.jaas.config", "give one module"},
		"an option twice":         {sasl + "PLAIN\n" + jaas + " password=\"hunter3\";", "sasl.jaas.config", "given twice"},
		"linger":                  {"linger.ms=60000\ndelivery.timeout.ms=1000", "linger.ms", `line 1: linger.ms (ProducerConfig.Linger): "60000": is not below`},
		"a batch":                 {"batch.size=2000000\nmax.request.size=1024", "batch.size", "is above ProducerConfig.MaxRequestBytes"},
		"a buffer":                {"buffer.memory=2000\nmax.request.size=4096", "buffer.memory", "is below ProducerConfig.MaxRequestBytes"},
	} {
		t.Run(name, func(t *testing.T) { _ = onlyPropertyMistake(t, c.text, c.property, c.says) })
	}
	for _, alone := range []string{"linger.ms=60000", "batch.size=2000000", "buffer.memory=2000"} { // code may give the other
		if _, err := sluice.FromProperties(strings.NewReader(alone)); err != nil {
			t.Errorf("%s: %v", alone, err)
		}
	}
}

func TestJAASErrorsSayWhatIsWrong(t *testing.T) {
	const head = "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config="
	for says, text := range map[string]string{
		"no login module is named":                      `;`,
		"ends behind the login module":                  `x`,
		"required does not follow":                      `x hunter2 username="u" password="hunter2";`,
		"no ; is at the end":                            `x required username="u" password="hunter2"`,
		"a quote is not closed":                         `x required username="u" password="hunter2;`,
		"an option has no name":                         `x required "hunter2"="u";`,
		"an option has no = behind its name":            `x required hunter2;`,
		"an option has no value, or one that needs quo": `x required password=;`,
	} {
		_ = onlyPropertyMistake(t, head+text, "sasl.jaas.config", says)
	}
}

func TestAMistakeInALevelNamesItsCodec(t *testing.T) {
	for codec, want := range map[sluice.Compression]string{
		sluice.Gzip: "compression.gzip.level", sluice.LZ4: "compression.lz4.level", sluice.Zstd: "compression.zstd.level",
	} {
		_, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: []string{"a:1"}, Compression: codec, CompressionLevel: 99})
		if all := configErrors(err); len(all) != 1 || all[0].Property != want {
			t.Errorf("%s: %v", codec, err)
		}
	}
}
