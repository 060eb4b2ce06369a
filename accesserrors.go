package sluice

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Why brokers do not let a client in, for errors.Is on what App.Check, App.Run, Producer.Ping and the records of a Producer fail
// with. A right that is missing is a *PermissionError.
var (
	// ErrAuthentication: the login is refused. The name, the password or the token is wrong.
	ErrAuthentication = errors.New("authentication failed")

	// ErrCertificateExpired: the certificate of the broker, or that of this client, has ended.
	ErrCertificateExpired = errors.New("certificate has expired")

	// ErrCertificateName: the broker's certificate is for another host.
	ErrCertificateName = errors.New("certificate is for another host")

	// ErrCertificateRefused: the broker does not take this client's certificate, or demands one and gets none.
	ErrCertificateRefused = errors.New("certificate of this client is refused")

	// ErrLoginMismatch: one side wants a login and the other does not, or not by this mechanism.
	ErrLoginMismatch = errors.New("SASL does not match")

	// ErrTLSMismatch: one side speaks TLS and the other does not, or both share no version of it.
	ErrTLSMismatch = errors.New("TLS does not match")

	// ErrToken: there is no token to log in with: SASL.Token failed.
	ErrToken = errors.New("no token for the login")

	// ErrUnknownAuthority: nobody we trust has signed the broker's certificate.
	ErrUnknownAuthority = errors.New("certificate signed by unknown authority")
)

// Explain says what a Kafka client's error means: it wraps one of the errors above, or a *PermissionError, around err, with what
// to do; any other err is returned as it is, and so is one that is explained already. operation and name say what was asked for: READ,
// WRITE and so on, and the topic, the group or the transactional id; which of them err is about, only the caller knows. It is for
// clients made with Config.ConnectOptions; this package's own errors need none.
func Explain(err error, operation, name string) error {
	if err == nil || explained(err) {
		return err
	}
	if missing := missingPermission(err, operation, name); missing != nil {
		return missing
	}
	advice, kind := accessTrouble(err)
	if kind == nil {
		return err
	}
	return fmt.Errorf("%w: %s (%w)", kind, advice, err)
}

func explained(err error) bool {
	if _, ok := errors.AsType[*PermissionError](err); ok {
		return true
	}
	for _, kind := range []error{
		ErrAuthentication, ErrCertificateExpired, ErrCertificateName, ErrCertificateRefused, ErrLoginMismatch, ErrTLSMismatch, ErrToken,
		ErrUnknownAuthority,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// accessTrouble says why a connection or a login fails; nil when it is none of the known reasons.
func accessTrouble(err error) (advice string, kind error) {
	if advice, kind = certificateTrouble(err); kind != nil {
		return advice, kind
	}
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	_, ended := errors.AsType[*kgo.ErrFirstReadEOF](err)
	says := func(text string) bool { return ended && strings.Contains(err.Error(), text) } // what kgo tells kinds by is its own
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "wrong name or password, a token that is not good, or a user of another mechanism", ErrAuthentication
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "the broker does not offer this SASL.Mechanism (sasl.mechanism)", ErrLoginMismatch
	case errors.Is(err, kerr.IllegalSaslState):
		return "the broker asks for no login here; leave SASL out, or use its port for SASL", ErrLoginMismatch
	case says("SASL missing"):
		return "the broker wants a login, or TLS too; give SASL (security.protocol=SASL_SSL or SASL_PLAINTEXT)", ErrLoginMismatch
	case notTLS, says("TLS misconfigured"):
		return "the broker speaks no TLS here; leave TLS out, or use its port for TLS", ErrTLSMismatch
	case strings.Contains(err.Error(), "appear to be a tls alert"): // kgo has no type for it
		return "the broker speaks TLS here; give TLS (security.protocol=SSL or SASL_SSL), or use its port for plain text", ErrTLSMismatch
	case says("TLS missing"):
		return "the broker closes the connection at once: it may want TLS (security.protocol=SSL or SASL_SSL), or a login", ErrTLSMismatch
	}
	return "", nil
}

// certificateTrouble is what either side says about certificates.
func certificateTrouble(err error) (advice string, kind error) {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "that of the broker, or the clock here is wrong; the broker needs a new one", ErrCertificateExpired
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "give the authority of the brokers: TLSFiles.CA (ssl.truststore.location)", ErrUnknownAuthority
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "use a name that it is for in Brokers and in the broker's advertised.listeners", ErrCertificateName
	}
	alert, ok := errors.AsType[*net.OpError](err)
	if !ok || alert.Op != "remote error" { // what crypto/tls calls an alert of the other side; its type is its own
		return "", nil
	}
	text := alert.Err.Error()
	switch {
	case strings.Contains(text, "expired certificate"):
		return "that of this client; replace it", ErrCertificateExpired
	case strings.Contains(text, "certificate required"):
		return "the broker demands one, and none is given: TLSFiles.Certificate and Key (ssl.keystore.location)", ErrCertificateRefused
	case strings.Contains(text, "certificate"), strings.Contains(text, "access denied"):
		return "there is none, or it has ended, or the broker does not know its authority; see TLSFiles.Certificate", ErrCertificateRefused
	case strings.Contains(text, "protocol version"), strings.Contains(text, "handshake failure"):
		return "no version or cipher in common, or the broker demands a certificate; see ssl.enabled.protocols", ErrTLSMismatch
	}
	return "", nil
}
