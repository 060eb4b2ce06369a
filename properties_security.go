package sluice

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
)

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
		case !withSASL && strings.HasPrefix(name, "sasl.") && settable(name):
			r.fail(name, errors.New("has no effect without security.protocol=SASL_PLAINTEXT or SASL_SSL"))
		case !withTLS && strings.HasPrefix(name, "ssl.") && settable(name):
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

func (r *propertyReader) sasl() {
	s := &SASL{Mechanism: r.value("sasl.mechanism"), Username: r.value("sasl.username"), Password: r.value("sasl.password")}
	at := "sasl.mechanism"
	if !r.oneOf("sasl.jaas.config", "sasl.username", "sasl.password") {
		return
	}
	if name := given(r, "sasl.username", "sasl.password"); name != "" && s.Mechanism == oauthBearer {
		r.fail(name, errors.New("has no effect with sasl.mechanism=OAUTHBEARER, whose logins are tokens; give one of the two"))
		return
	}
	var options map[string]string
	if jaas, ok := r.all["sasl.jaas.config"]; ok {
		at = "sasl.jaas.config"
		var err error
		if options, err = parseJAAS(jaas.value); err != nil {
			r.fail(at, err)
			return
		}
		s.Username, s.Password = options["username"], options["password"]
	}
	if s.Mechanism == oauthBearer {
		if s = r.oauth(at, options); s == nil {
			return
		}
	} else {
		for name := range r.all {
			if strings.HasPrefix(name, "sasl.oauthbearer.") && settable(name) {
				r.fail(name, errors.New("has no effect without sasl.mechanism=OAUTHBEARER"))
			}
		}
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

// oauth makes a login by tokens; nil when it has told of a mistake. What sasl.jaas.config says gives way to the properties that
// Kafka 4 has for it.
func (r *propertyReader) oauth(at string, options map[string]string) *SASL {
	c := ClientCredentials{
		URL:    r.value("sasl.oauthbearer.token.endpoint.url"),
		ID:     cmp.Or(r.value("sasl.oauthbearer.client.credentials.client.id"), options["clientId"]),
		Secret: cmp.Or(r.value("sasl.oauthbearer.client.credentials.client.secret"), options["clientSecret"]),
		Scope:  cmp.Or(r.value("sasl.oauthbearer.scope"), options["scope"]),
	}
	if _, ok := r.all["sasl.oauthbearer.token.endpoint.url"]; ok {
		at = "sasl.oauthbearer.token.endpoint.url"
	}
	if err := c.Check(); err != nil {
		r.fail(at, fmt.Errorf("OAUTHBEARER: %w; give sasl.oauthbearer.token.endpoint.url, and "+
			"sasl.oauthbearer.client.credentials.client.id and .secret, or clientId and clientSecret in sasl.jaas.config", err))
		return nil
	}
	return &SASL{Mechanism: oauthBearer, Token: c.Token}
}

func (r *propertyReader) tls() {
	for _, name := range []string{
		"ssl.truststore.location", "ssl.ca.location", "ssl.keystore.location", "ssl.certificate.location", "ssl.key.location",
	} {
		if isPEMText(r.value(name)) {
			own := "ssl.keystore.certificate.chain and ssl.keystore.key"
			if strings.HasPrefix(settingOf(name).field, "TLSFiles.CA") {
				own = "ssl.truststore.certificates"
			}
			r.fail(name, errors.New("is PEM itself, where the name of a file belongs; give it in "+own))
			return
		}
	}
	if !r.oneOf("ssl.truststore.location", "ssl.ca.location", "ssl.truststore.certificates") ||
		!r.oneOf("ssl.ca.location", "ssl.truststore.certificates") ||
		!r.oneOf("ssl.keystore.location", "ssl.keystore.certificate.chain", "ssl.keystore.key", "ssl.certificate.location") ||
		!r.oneOf("ssl.certificate.location", "ssl.keystore.certificate.chain", "ssl.keystore.key") {
		return
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var files TLSFiles
	if !r.authorities(c, &files) || !r.certificate(c, &files) || !r.versions(c) {
		return
	}
	if p, ok := r.all["ssl.endpoint.identification.algorithm"]; ok && p.value == "" {
		trustAnyName(c)
		files.anyName = files.given()
	} else if ok && !strings.EqualFold(p.value, "https") {
		r.fail("ssl.endpoint.identification.algorithm", fmt.Errorf("%q is neither https nor empty", p.value))
	}
	r.cfg.TLS, r.cfg.TLSFiles = c, files
}

// isPEM tells of a store of another kind.
func (r *propertyReader) isPEM(name, convert string) bool {
	t := r.value(name)
	if t != "" && !strings.EqualFold(t, "PEM") {
		r.fail(name, fmt.Errorf("%q cannot be read; convert it: %s", t, convert))
		return false
	}
	return true
}

// authorities says whom to trust. It returns false when it has told of a mistake, as those that follow do.
func (r *propertyReader) authorities(c *tls.Config, files *TLSFiles) bool {
	if !r.isPEM("ssl.truststore.type", "keytool -exportcert -rfc writes PEM") {
		return false
	}
	if text := r.value("ssl.truststore.certificates"); text != "" {
		roots, err := parseAuthorities([]byte(text))
		if err != nil {
			r.fail("ssl.truststore.certificates", err)
			return false
		}
		c.RootCAs = roots
	}
	for _, name := range []string{"ssl.truststore.location", "ssl.ca.location"} {
		if file := r.value(name); file != "" {
			roots, err := readAuthorities(file)
			if err != nil {
				r.fail(name, err)
				return false
			}
			c.RootCAs, files.CA = roots, file
		}
	}
	return true
}

// certificate says what this client shows.
func (r *propertyReader) certificate(c *tls.Config, files *TLSFiles) bool {
	if !r.isPEM("ssl.keystore.type", "openssl pkcs12 -in STORE.p12 -nodes -out STORE.pem") {
		return false
	}
	chain, key := r.value("ssl.keystore.certificate.chain"), r.value("ssl.keystore.key")
	if chain != "" || key != "" {
		if chain == "" || key == "" {
			r.fail(given(r, "ssl.keystore.certificate.chain", "ssl.keystore.key"),
				errors.New("goes with the other of ssl.keystore.certificate.chain and ssl.keystore.key; give both"))
			return false
		}
		pair, err := parsePair([]byte(chain), []byte(key))
		if err != nil {
			r.fail("ssl.keystore.certificate.chain", err)
			return false
		}
		showCertificate(c, pair, "ssl.keystore.certificate.chain")
	}
	at := given(r, "ssl.keystore.location", "ssl.certificate.location", "ssl.key.location")
	if at == "" {
		return true
	}
	files.Certificate, files.Key = r.value(at), r.value("ssl.key.location")
	switch {
	case at == "ssl.key.location":
		r.fail(at, errors.New("is a key without a certificate; give ssl.certificate.location"))
		return false
	case files.Certificate != "":
		if _, err := files.readPair(); err != nil {
			r.fail(at, err)
			return false
		}
	}
	return true
}

// oneOf says whether a property is given without others that say the same; it has told of it when not.
func (r *propertyReader) oneOf(name string, others ...string) bool {
	other := given(r, others...)
	if r.value(name) == "" || other == "" {
		return true
	}
	r.fail(other, errors.New(name+" is given as well; give one of the two"))
	return false
}

// given is the first of some properties that has a value; "" when none has.
func given(r *propertyReader, names ...string) string {
	for _, name := range names {
		if r.value(name) != "" {
			return name
		}
	}
	return ""
}

// versions says which versions of TLS are spoken.
func (r *propertyReader) versions(c *tls.Config) bool {
	const name = "ssl.enabled.protocols"
	text := r.value(name)
	if text == "" {
		return true
	}
	c.MinVersion, c.MaxVersion = 0, 0
	for word := range strings.SplitSeq(text, ",") {
		version, ok := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[strings.TrimSpace(word)]
		if !ok {
			r.fail(name, fmt.Errorf("%q is neither TLSv1.2 nor TLSv1.3; older ones are broken", word))
			return false
		}
		c.MaxVersion = max(c.MaxVersion, version)
		if c.MinVersion == 0 || version < c.MinVersion {
			c.MinVersion = version
		}
	}
	return true
}
