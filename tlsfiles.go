package sluice

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// TLSFiles are files in PEM that TLS reads. They are looked at before each new connection, and read anew when a size or a time of
// change differs: a certificate that is renewed on disk needs no restart. Files that cannot be read, that are half written, or
// whose key belongs to another certificate leave everything as it was, with a warning in the log; so the order in which a
// certificate and its key are replaced does not matter.
//
// What Config.TLS says holds beside them, but for its RootCAs where CA is given, and its Certificates where Certificate is.
type TLSFiles struct {
	// CA has the authorities that may sign the brokers' certificates. Zero: those of Config.TLS, or the system's.
	CA string

	// Certificate has the certificate of this client, and those between it and its authority. Zero: that of Config.TLS, if any.
	Certificate string

	// Key has the certificate's private key, not encrypted. Zero: it is in Certificate's file.
	Key string

	anyName bool // the brokers' names are not checked
}

// given says whether there is anything to read.
func (f TLSFiles) given() bool { return f != TLSFiles{} }

// check reads the files once.
func (f TLSFiles) check(m *mistakes) {
	texts := false
	for _, of := range [][2]string{{"TLSFiles.CA", f.CA}, {"TLSFiles.Certificate", f.Certificate}, {"TLSFiles.Key", f.Key}} {
		if isPEMText(of[1]) {
			m.add(of[0], "", errPEMText.Error())
			texts = true
		}
	}
	if texts {
		return
	}
	if f.Key != "" && f.Certificate == "" {
		m.add("TLSFiles.Key", f.Key, "is a key without a certificate; give TLSFiles.Certificate")
		return
	}
	if f.CA != "" {
		if _, err := readAuthorities(f.CA); err != nil {
			m.add("TLSFiles.CA", f.CA, err.Error())
		}
	}
	if f.Certificate != "" {
		if _, err := f.readPair(); err != nil {
			m.add("TLSFiles.Certificate", f.Certificate, err.Error())
		}
	}
}

// load reads the files into a copy of base, which may be nil.
func (f TLSFiles) load(base *tls.Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	if f.CA != "" {
		roots, err := readAuthorities(f.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = roots
	}
	if f.Certificate != "" {
		pair, err := f.readPair()
		if err != nil {
			return nil, err
		}
		showCertificate(c, pair, f.Certificate)
	}
	if f.anyName {
		trustAnyName(c)
	}
	return c, nil
}

// errPEMText does not show what may be a key.
var errPEMText = errors.New("is PEM itself, where the name of a file belongs; write it to a file, or give Config.TLS")

// isPEMText says whether a text is PEM, or no name of a file.
func isPEMText(s string) bool {
	return strings.Contains(s, "-----BEGIN") || strings.ContainsAny(s, "\r\n")
}

func readPEM(file string) ([]byte, error) {
	if isPEMText(file) {
		return nil, errPEMText
	}
	return os.ReadFile(file)
}

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	pool, err := parseAuthorities(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	return pool, nil
}

func parseAuthorities(text []byte) (*x509.CertPool, error) {
	certificates, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(certificates) == 0 {
		return nil, errors.New("holds no certificate in PEM")
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return pool, nil
}

// parseCertificates takes all of a text's certificates. One that is cut off is an error: the text is being written, or was not to
// its end. What is no certificate is left out.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	const begin = "-----BEGIN "
	begun, decoded := 0, 0
	last := ""
	for line := range strings.Lines(string(text)) {
		if last = strings.TrimRight(line, " \t\r\n"); strings.HasPrefix(last, begin) {
			begun++
		}
	}
	for rest := text; ; decoded++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that cannot be read, number %d: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if begun > decoded || last != "" && last == begin[:min(len(last), len(begin))] {
		return nil, errors.New("holds PEM that is cut off; is it still being written?")
	}
	return all, nil
}

func (f TLSFiles) readPair() (tls.Certificate, error) {
	certificate, err := readPEM(f.Certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, file := certificate, f.Certificate
	if f.Key != "" {
		file = f.Key
		if key, err = readPEM(file); err != nil {
			return tls.Certificate{}, err
		}
	}
	pair, err := parsePair(certificate, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s, key %s: %w", f.Certificate, file, err)
	}
	return pair, nil
}

// errEncryptedKey says how to decrypt; a library that does it would be one more that every user of this package depends on.
var errEncryptedKey = errors.New("the key is encrypted, which is not read; decrypt it: openssl pkey -in KEY.pem -out PLAIN.pem")

// parsePair takes a certificate with its chain, and its key, both in PEM.
func parsePair(certificate, key []byte) (tls.Certificate, error) {
	for rest := key; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return tls.Certificate{}, errEncryptedKey
		}
	}
	for _, text := range [][]byte{certificate, key} {
		if _, err := parseCertificates(text); err != nil {
			return tls.Certificate{}, err
		}
	}
	return tls.X509KeyPair(certificate, key)
}

// showCertificate has a client show a certificate to a broker that asks for one. One that has ended is not shown: what brokers
// answer to it does not say what is wrong.
func showCertificate(c *tls.Config, pair tls.Certificate, from string) {
	c.Certificates = nil
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if end := pair.Leaf.NotAfter; time.Now().After(end) {
			return nil, fmt.Errorf("%w: that of this client (%s, %s) on %v; replace it, no restart is needed",
				ErrCertificateExpired, from, pair.Leaf.Subject, end.Format(time.RFC3339))
		}
		return &pair, nil
	}
}

// trustAnyName checks the chain of certificates, but not the broker's name.
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

// tlsReader gives each new connection its tls.Config.
type tlsReader struct {
	base  *tls.Config // may be nil
	files TLSFiles
	log   *slog.Logger

	mu     sync.Mutex
	good   *tls.Config
	read   fileStamps // of good
	warned fileStamps // of what could not be read
}

func newTLSReader(base *tls.Config, files TLSFiles, log *slog.Logger) *tlsReader {
	if log == nil {
		log = slog.Default()
	}
	return &tlsReader{base: base, files: files, log: log}
}

// fileStamps tell whether the files have changed.
type fileStamps [3]struct {
	changed time.Time
	size    int64
}

func (f TLSFiles) stamps() fileStamps {
	var s fileStamps
	for i, name := range []string{f.CA, f.Certificate, f.Key} {
		if info, err := os.Stat(name); err == nil { // without a name, or without a file: zeros
			s[i].changed, s[i].size = info.ModTime(), info.Size()
		}
	}
	return s
}

// config is what a new connection is made with; the caller may change it.
func (r *tlsReader) config() *tls.Config {
	now := r.files.stamps() // before the files are read: what changes meanwhile is read again
	r.mu.Lock()
	good, read := r.good, r.read
	r.mu.Unlock()
	if good != nil && read == now {
		return good.Clone()
	}
	fresh, err := r.files.load(r.base)

	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.good, r.read = fresh, now
		return fresh.Clone()
	case r.good == nil:
		return refuseAll(err)
	}
	if r.warned != now {
		r.warned = now
		r.log.Warn("files for TLS cannot be read; connections go on with what was read before", "event", "tls_files_unreadable", "err", err)
	}
	return r.good.Clone()
}

// refuseAll makes every handshake fail with an error: without its files a client trusts nobody.
func refuseAll(err error) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	c.InsecureSkipVerify = true // so that what follows is asked first; it always refuses
	c.VerifyConnection = func(tls.ConnectionState) error { return err }
	return c
}
