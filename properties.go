package sluice

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PropertyError is one mistake in a properties file.
type PropertyError struct {
	Line int
	Name string
	Err  error
}

func (e *PropertyError) Error() string { return fmt.Sprintf("line %d: %s: %v", e.Line, e.Name, e.Err) }

// Unwrap returns what is wrong.
func (e *PropertyError) Unwrap() error { return e.Err }

type property struct {
	line  int
	value string
}

// propertyReader collects what the properties say.
type propertyReader struct {
	cfg  Config
	all  map[string]property
	errs []error
}

// properties are the names that are known, each with what it does. Names that only mean something together (sasl.*, ssl.*)
// are read at the end.
var properties = map[string]func(*propertyReader, string) error{
	"bootstrap.servers": func(r *propertyReader, v string) error {
		for b := range strings.SplitSeq(v, ",") {
			r.cfg.Brokers = append(r.cfg.Brokers, strings.TrimSpace(b))
		}
		return nil
	},
	"client.id": func(r *propertyReader, v string) error { r.cfg.ClientID = v; return nil },
	"group.id":  func(r *propertyReader, v string) error { r.cfg.Group = v; return nil },
	"session.timeout.ms": func(r *propertyReader, v string) error {
		ms, err := strconv.Atoi(v)
		if err != nil || ms <= 0 {
			return fmt.Errorf("%q is not a positive number of milliseconds", v)
		}
		r.cfg.SessionTimeout = time.Duration(ms) * time.Millisecond
		return nil
	},
	"security.protocol":                     nil,
	"sasl.mechanism":                        nil,
	"sasl.jaas.config":                      nil,
	"sasl.username":                         nil,
	"sasl.password":                         nil,
	"ssl.ca.location":                       nil,
	"ssl.truststore.type":                   nil,
	"ssl.truststore.location":               nil,
	"ssl.truststore.certificates":           nil,
	"ssl.endpoint.identification.algorithm": nil,
}

// FromProperties reads a Java properties file with Kafka's own names into a Config. Unknown names are errors that name the
// nearest known one. All mistakes are returned at once, as a joined error of *PropertyError, none of them with a secret.
//
// It knows bootstrap.servers, client.id, group.id, session.timeout.ms, security.protocol, sasl.mechanism (PLAIN,
// SCRAM-SHA-256, SCRAM-SHA-512), sasl.jaas.config, or sasl.username and sasl.password in its place, and for TLS
// ssl.truststore.type (PEM only), ssl.truststore.location or ssl.truststore.certificates, librdkafka's ssl.ca.location, and
// ssl.endpoint.identification.algorithm.
func FromProperties(in io.Reader) (Config, error) {
	r := &propertyReader{all: make(map[string]property)}
	if err := r.scan(in); err != nil {
		return Config{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.all)) {
		p := r.all[name]
		set, known := properties[name]
		switch {
		case !known:
			r.unknown(name)
		case set != nil:
			if err := set(r, p.value); err != nil {
				r.fail(name, err)
			}
		}
	}
	r.security()
	slices.SortStableFunc(r.errs, func(a, b error) int {
		pa, _ := errors.AsType[*PropertyError](a)
		pb, _ := errors.AsType[*PropertyError](b)
		return pa.Line - pb.Line
	})
	if len(r.errs) > 0 {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, errors.Join(r.errs...))
	}
	return r.cfg, nil
}

// propertyName is what Kafka's properties look like.
var propertyName = regexp.MustCompile(`^[A-Za-z]+([._-][A-Za-z0-9]+)+$`)

// unknown tells of a name that is not known. A line that holds no name at all may be part of a secret, and is not shown.
func (r *propertyReader) unknown(name string) {
	if propertyName.MatchString(name) && !strings.HasPrefix(name, "sasl.password") {
		r.fail(name, errors.New("not known"+hint(name)))
		return
	}
	line := r.all[name].line
	r.errs = append(r.errs, &PropertyError{
		Line: line, Name: "(not shown)", Err: errors.New("not the name of a property; does the line before lack a backslash at its end?"),
	})
}

func (r *propertyReader) fail(name string, err error) {
	r.errs = append(r.errs, &PropertyError{Line: r.all[name].line, Name: name, Err: err})
}

// scan reads name = value lines, with comments and with lines that go on after a backslash.
func (r *propertyReader) scan(in io.Reader) error {
	s := bufio.NewScanner(in)
	s.Buffer(nil, 1<<20)
	number, start, text := 0, 0, ""
	for s.Scan() {
		number++
		line := strings.TrimLeft(s.Text(), " \t\f")
		if text == "" {
			if line == "" || line[0] == '#' || line[0] == '!' {
				continue
			}
			start = number
		}
		if slashes := len(line) - len(strings.TrimRight(line, `\`)); slashes%2 == 1 {
			text += line[:len(line)-1]
			continue
		}
		text += line
		r.put(text, start)
		text = ""
	}
	if text != "" {
		r.put(text, start)
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read the properties: %w", err)
	}
	return nil
}

func (r *propertyReader) put(text string, line int) {
	i := strings.IndexAny(text, "=: \t\f")
	name, value := text, ""
	if i >= 0 {
		name = text[:i]
		value = strings.TrimLeft(text[i:], " \t\f")
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value = strings.TrimLeft(value[1:], " \t\f")
		}
	}
	name = unescape(name)
	if old, ok := r.all[name]; ok {
		r.errs = append(r.errs, &PropertyError{Line: line, Name: name, Err: fmt.Errorf("given before, in line %d", old.line)})
		return
	}
	value = unescape(value)
	if name != "sasl.password" { // the format keeps blanks at the end, where only a password can mean them
		value = strings.TrimRight(value, " \t")
	}
	r.all[name] = property{line: line, value: value}
}

// unescape resolves the format's escapes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if i+4 < len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+5], 16, 32); err == nil {
					b.WriteRune(rune(n))
					i += 4
					continue
				}
			}
			b.WriteByte('u')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// security makes SASL and TLS of what was said about them.
func (r *propertyReader) security() {
	protocol := strings.ToUpper(r.value("security.protocol"))
	switch protocol {
	case "", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL":
	default:
		r.fail("security.protocol", fmt.Errorf("%q is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL", protocol))
		return
	}
	withSASL, withTLS := strings.HasPrefix(protocol, "SASL_"), strings.HasSuffix(protocol, "SSL")
	for name := range r.all {
		switch {
		case !withSASL && strings.HasPrefix(name, "sasl.") && known(name):
			r.fail(name, errors.New("has no effect without security.protocol=SASL_PLAINTEXT or SASL_SSL"))
		case !withTLS && strings.HasPrefix(name, "ssl.") && known(name):
			r.fail(name, errors.New("has no effect without security.protocol=SSL or SASL_SSL"))
		}
	}
	if withSASL {
		r.sasl()
	}
	if withTLS {
		r.tls()
	}
}

func known(name string) bool {
	_, ok := properties[name]
	return ok
}

func (r *propertyReader) value(name string) string { return r.all[name].value }

func (r *propertyReader) sasl() {
	s := &SASL{Mechanism: r.value("sasl.mechanism"), Username: r.value("sasl.username"), Password: r.value("sasl.password")}
	at := "sasl.mechanism"
	if jaas, ok := r.all["sasl.jaas.config"]; ok {
		at = "sasl.jaas.config"
		user, password, err := parseJAAS(jaas.value)
		if err != nil {
			r.fail(at, err)
			return
		}
		s.Username, s.Password = user, password
	}
	if _, err := s.mechanism(); err != nil {
		if _, ok := r.all[at]; !ok {
			at = "security.protocol"
		}
		r.fail(at, fmt.Errorf("SASL: %w; give sasl.mechanism and sasl.jaas.config", err))
		return
	}
	r.cfg.SASL = s
}

// parseJAAS reads username and password of a login module's line: Module required username="u" password="p";
func parseJAAS(s string) (user, password string, err error) {
	bad := errors.New(`not of the form: org.apache.kafka.common.security.… required username="…" password="…";`)
	s, ok := strings.CutSuffix(strings.TrimSpace(s), ";")
	if !ok {
		return "", "", bad
	}
	_, s, ok = strings.Cut(s, " required ")
	if !ok {
		return "", "", bad
	}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || rest == "" || (rest[0] != '"' && rest[0] != '\'') {
			return "", "", bad
		}
		value, after, ok := cutQuoted(rest)
		if !ok {
			return "", "", bad
		}
		switch name {
		case "username":
			user = value
		case "password":
			password = value
		}
		s = after
	}
	return user, password, nil
}

// cutQuoted takes a quoted string off the front.
func cutQuoted(s string) (value, rest string, ok bool) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == quote:
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

func (r *propertyReader) tls() {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t := r.value("ssl.truststore.type"); t != "" && !strings.EqualFold(t, "PEM") {
		r.fail("ssl.truststore.type", fmt.Errorf("%q cannot be read; convert it: keytool -exportcert -rfc writes PEM", t))
		return
	}
	pem := []byte(r.value("ssl.truststore.certificates"))
	at := "ssl.truststore.certificates"
	for _, name := range []string{"ssl.truststore.location", "ssl.ca.location"} {
		if file := r.value(name); file != "" {
			b, err := os.ReadFile(file)
			if err != nil {
				r.fail(name, err)
				return
			}
			pem, at = b, name
		}
	}
	if len(pem) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			r.fail(at, errors.New("holds no certificate in PEM"))
			return
		}
	}
	if p, ok := r.all["ssl.endpoint.identification.algorithm"]; ok && p.value == "" {
		trustAnyName(c)
	} else if ok && !strings.EqualFold(p.value, "https") {
		r.fail("ssl.endpoint.identification.algorithm", fmt.Errorf("%q is neither https nor empty", p.value))
	}
	r.cfg.TLS = c
}

// trustAnyName checks the chain of certificates, but not the broker's name, as the empty algorithm asks for.
func trustAnyName(c *tls.Config) {
	c.InsecureSkipVerify = true // the chain is checked below
	roots := c.RootCAs
	c.VerifyConnection = func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(opts)
		return err
	}
}

// hint names the nearest known property.
func hint(name string) string {
	best, distance := "", len(name)/2+1
	for _, k := range slices.Sorted(maps.Keys(properties)) {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
