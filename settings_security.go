package sluice

const (
	ofJava     = "Java's classes and providers cannot run here; Go's own TLS is used"
	ofJavaSASL = "Java's classes cannot run here"
	ofKerberos = "Kerberos (GSSAPI) is not supported; log in by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or a client's certificate"
	ofPEM      = "only PEM is read, which has no password of its own"
	ofJAAS     = "librdkafka's name, in place of sasl.jaas.config"

	ofAssertions    = "a token endpoint is asked with client id and secret; for anything else give SASL.Token, in code"
	ofTokenBrokers  = "brokers judge tokens; a client only shows them"
	ofTokenFetch    = "a request for a token has 10 s; in code, ClientCredentials.HTTP can have less"
	ofTokenInside   = "tokens are not looked into"
	ofTokenRefresh  = "the next token is asked for when a login needs it and 80 % of the last one's life, or all but 5 s, are over"
	ofTokenTryAgain = "a login is tried again with its connection; see retry.backoff.ms"
)

// securitySettings are those of logins and of TLS. What they do is in properties_security.go, as most only mean something
// together; here they have their names, and the reasons for which some are refused.
var securitySettings = []setting{
	{name: "security.protocol", of: common, kind: aText, kafka: "PLAINTEXT", field: "SASL, TLS", ours: "PLAINTEXT"},
	{name: "security.providers", of: common, kind: aText, refused: ofJava},

	{name: "sasl.client.callback.handler.class", of: common, kind: aClass, refused: ofJavaSASL},
	{
		name: "sasl.jaas.config", of: common, kind: aSecret, field: "SASL.Username, SASL.Password", ours: "none",
		note: `the login module is not looked at: … required username="…" password="…"; with OAUTHBEARER clientId, clientSecret and scope`,
	},
	{name: "sasl.kerberos.kinit.cmd", of: common, kind: aText, kafka: "/usr/bin/kinit", refused: ofKerberos},
	{name: "sasl.kerberos.min.time.before.relogin", of: common, kind: milliseconds, kafka: "60000", refused: ofKerberos},
	{name: "sasl.kerberos.service.name", of: common, kind: aText, refused: ofKerberos},
	{name: "sasl.kerberos.ticket.renew.jitter", of: common, kind: aCount, kafka: "0.05", refused: ofKerberos},
	{name: "sasl.kerberos.ticket.renew.window.factor", of: common, kind: aCount, kafka: "0.8", refused: ofKerberos},
	{name: "sasl.login.callback.handler.class", of: common, kind: aClass, refused: ofJavaSASL},
	{name: "sasl.login.class", of: common, kind: aClass, refused: ofJavaSASL},
	{name: "sasl.login.connect.timeout.ms", of: common, kind: milliseconds, refused: ofTokenFetch},
	{name: "sasl.login.read.timeout.ms", of: common, kind: milliseconds, refused: ofTokenFetch},
	{name: "sasl.login.refresh.buffer.seconds", of: common, kind: seconds, kafka: "300", refused: ofTokenRefresh},
	{name: "sasl.login.refresh.min.period.seconds", of: common, kind: seconds, kafka: "60", refused: ofTokenRefresh},
	{name: "sasl.login.refresh.window.factor", of: common, kind: aCount, kafka: "0.8", accept: []string{"0.8"}, refused: ofTokenRefresh},
	{name: "sasl.login.refresh.window.jitter", of: common, kind: aCount, kafka: "0.05", refused: ofTokenRefresh},
	{name: "sasl.login.retry.backoff.max.ms", of: common, kind: milliseconds, kafka: "10000", refused: ofTokenTryAgain},
	{name: "sasl.login.retry.backoff.ms", of: common, kind: milliseconds, kafka: "100", refused: ofTokenTryAgain},
	{
		name: "sasl.mechanism", of: common, kind: aText, kafka: "GSSAPI", field: "SASL.Mechanism", ours: "none",
		note: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
	},
	{name: "sasl.oauthbearer.assertion.algorithm", of: common, kind: aText, kafka: "RS256", refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.claim.aud", of: common, kind: aText, refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.claim.exp.seconds", of: common, kind: seconds, kafka: "300", refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.claim.iss", of: common, kind: aText, refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.claim.jti.include", of: common, kind: aBoolean, kafka: "false", refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.claim.nbf.seconds", of: common, kind: seconds, kafka: "60", refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.claim.sub", of: common, kind: aText, refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.file", of: common, kind: aText, refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.private.key.file", of: common, kind: aText, refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.private.key.passphrase", of: common, kind: aSecret, refused: ofAssertions},
	{name: "sasl.oauthbearer.assertion.template.file", of: common, kind: aText, refused: ofAssertions},
	{
		name: "sasl.oauthbearer.client.credentials.client.id", of: common, kind: aText,
		field: "SASL.Token", ours: "none", note: "ClientCredentials.ID",
	},
	{
		name: "sasl.oauthbearer.client.credentials.client.secret", of: common, kind: aSecret,
		field: "SASL.Token", ours: "none", note: "ClientCredentials.Secret",
	},
	{name: "sasl.oauthbearer.clock.skew.seconds", of: common, kind: seconds, kafka: "30", refused: ofTokenBrokers},
	{name: "sasl.oauthbearer.expected.audience", of: common, kind: aList, refused: ofTokenBrokers},
	{name: "sasl.oauthbearer.expected.issuer", of: common, kind: aText, refused: ofTokenBrokers},
	{
		name: "sasl.oauthbearer.header.urlencode", of: common, kind: aBoolean, kafka: "false", accept: []string{"true", "false"},
		refused: "both ways are tried",
	},
	{name: "sasl.oauthbearer.jwks.endpoint.refresh.ms", of: common, kind: milliseconds, kafka: "3600000", refused: ofTokenBrokers},
	{name: "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", of: common, kind: milliseconds, kafka: "10000", refused: ofTokenBrokers},
	{name: "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", of: common, kind: milliseconds, kafka: "100", refused: ofTokenBrokers},
	{name: "sasl.oauthbearer.jwks.endpoint.url", of: common, kind: aText, refused: ofTokenBrokers},
	{name: "sasl.oauthbearer.jwt.retriever.class", of: common, kind: aClass, kafka: "DefaultJwtRetriever", refused: ofJavaSASL},
	{name: "sasl.oauthbearer.jwt.validator.class", of: common, kind: aClass, kafka: "DefaultJwtValidator", refused: ofJavaSASL},
	{name: "sasl.oauthbearer.scope", of: common, kind: aText, field: "SASL.Token", ours: "none", note: "ClientCredentials.Scope"},
	{name: "sasl.oauthbearer.scope.claim.name", of: common, kind: aText, kafka: "scope", refused: ofTokenInside},
	{name: "sasl.oauthbearer.sub.claim.name", of: common, kind: aText, kafka: "sub", refused: ofTokenInside},
	{
		name: "sasl.oauthbearer.token.endpoint.url", of: common, kind: aText,
		field: "SASL.Token", ours: "none", note: "ClientCredentials.URL",
	},
	{name: "sasl.password", of: common, kind: aSecret, field: "SASL.Password", ours: "none", note: ofJAAS},
	{name: "sasl.username", of: common, kind: aText, field: "SASL.Username", ours: "none", note: ofJAAS},

	{
		name: "ssl.ca.location", of: common, kind: aText, field: "TLSFiles.CA", ours: "the system's authorities",
		note: "librdkafka's name for it",
	},
	{
		name: "ssl.certificate.location", of: common, kind: aText, field: "TLSFiles.Certificate", ours: "none",
		note: "librdkafka's name for a PEM file, with its key in ssl.key.location; read anew when it changes",
	},
	{
		name: "ssl.cipher.suites", of: common, kind: aList, accept: []string{""},
		refused: "Go chooses among those that are safe; in code, give TLS.CipherSuites",
	},
	{
		name: "ssl.enabled.protocols", of: common, kind: aList, kafka: "TLSv1.2,TLSv1.3", field: "TLS.MinVersion, TLS.MaxVersion",
		ours: "TLSv1.2,TLSv1.3", note: "TLSv1.2, TLSv1.3 or both",
	},
	{
		name: "ssl.endpoint.identification.algorithm", of: common, kind: aText, kafka: "https",
		field: "TLS.VerifyConnection", ours: "https",
		note: "empty: the broker's chain is checked, its name is not",
	},
	{name: "ssl.engine.factory.class", of: common, kind: aClass, refused: ofJava},
	{
		name: "ssl.key.location", of: common, kind: aText, field: "TLSFiles.Key", ours: "the file of the certificate",
		note: "librdkafka's name for a PEM file, beside ssl.certificate.location; read anew when it changes",
	},
	{
		name: "ssl.key.password", of: common, kind: aSecret,
		refused: "such keys are not read; decrypt it: openssl pkey -in KEY.pem -out PLAIN.pem",
	},
	{name: "ssl.keymanager.algorithm", of: common, kind: aText, kafka: "SunX509", refused: ofJava},
	{
		name: "ssl.keystore.certificate.chain", of: common, kind: aSecret,
		field: "TLS.Certificates", ours: "none", note: "PEM, in the properties themselves, with ssl.keystore.key",
	},
	{
		name: "ssl.keystore.key", of: common, kind: aSecret,
		field: "TLS.Certificates", ours: "none", note: "PEM, not encrypted, with ssl.keystore.certificate.chain",
	},
	{
		name: "ssl.keystore.location", of: common, kind: aText,
		field: "TLSFiles.Certificate", ours: "none", note: "a PEM file with key, certificate and chain; read anew when it changes",
	},
	{name: "ssl.keystore.password", of: common, kind: aSecret, refused: ofPEM},
	{
		name: "ssl.keystore.type", of: common, kind: aText, kafka: "JKS",
		field: "TLSFiles.Certificate", ours: "PEM", note: "only PEM",
	},
	{
		name: "ssl.protocol", of: common, kind: aText, kafka: "TLSv1.3", accept: []string{"TLSv1.3"},
		refused: "ssl.enabled.protocols says which versions are spoken",
	},
	{name: "ssl.provider", of: common, kind: aText, refused: ofJava},
	{name: "ssl.secure.random.implementation", of: common, kind: aText, refused: ofJava},
	{name: "ssl.trustmanager.algorithm", of: common, kind: aText, kafka: "PKIX", accept: []string{"PKIX"}, refused: ofJava},
	{
		name: "ssl.truststore.certificates", of: common, kind: aSecret, field: "TLS.RootCAs", ours: "the system's authorities",
		note: "PEM, in the file itself",
	},
	{
		name: "ssl.truststore.location", of: common, kind: aText,
		field: "TLSFiles.CA", ours: "the system's authorities", note: "a PEM file; read anew when it changes",
	},
	{name: "ssl.truststore.password", of: common, kind: aSecret, refused: ofPEM},
	{name: "ssl.truststore.type", of: common, kind: aText, kafka: "JKS", field: "TLS.RootCAs", ours: "PEM", note: "only PEM"},
}
