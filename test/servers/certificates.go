package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

// Certificates are files in PEM, for the clients of a broker.
type Certificates struct {
	CA       string // the authority that signed everything here but Stranger's
	Stranger string // another authority

	Client         KeyPair // CN=client
	ExpiredClient  KeyPair // CN=client, but it ended an hour ago
	StrangerClient KeyPair // CN=client, but Stranger signed it
}

// KeyPair is a certificate and its key.
type KeyPair struct {
	Certificate string // with its authority's
	Key         string // PKCS #8, not encrypted
	Both        string // one file with all of it, as Java's ssl.keystore.location wants it
}

// authority signs certificates.
type authority struct {
	name        string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{name: name, certificate: certificate, key: key}, err
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// sign makes a certificate for localhost, which servers and clients may show until end.
func (a *authority) sign(name string, end time.Time) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: end.Add(-12 * time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	certificate = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.pem()...)
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// write signs a certificate for name, and writes it into files that begin with prefix.
func (a *authority) write(dir *dataDir, prefix, name string, end time.Time) (KeyPair, error) {
	certificate, key, err := a.sign(name, end)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign %s: %w", prefix, err)
	}
	pair := KeyPair{
		Certificate: dir.file(prefix + ".crt.pem"), Key: dir.file(prefix + ".key.pem"), Both: dir.file(prefix + ".pem"),
	}
	for file, content := range map[string][]byte{
		pair.Certificate: certificate, pair.Key: key, pair.Both: slices.Concat(key, certificate),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return KeyPair{}, err
		}
	}
	return pair, nil
}

// brokerCertificates are what a broker shows.
type brokerCertificates struct{ valid, expired KeyPair }

// writeCertificates makes everything anew, in a broker's folder.
func writeCertificates(dir *dataDir) (Certificates, brokerCertificates, error) {
	var c Certificates
	var b brokerCertificates
	ours, err := newAuthority("authority of the tests")
	if err != nil {
		return c, b, err
	}
	stranger, err := newAuthority("stranger")
	if err != nil {
		return c, b, err
	}
	c.CA, c.Stranger = dir.file("ca.pem"), dir.file("stranger.pem")
	for file, a := range map[string]*authority{c.CA: ours, c.Stranger: stranger} {
		if err := os.WriteFile(file, a.pem(), 0o600); err != nil {
			return c, b, err
		}
	}
	later, before := time.Now().Add(6*time.Hour), time.Now().Add(-time.Hour)
	for _, w := range []struct {
		to           *KeyPair
		by           *authority
		prefix, name string
		end          time.Time
	}{
		{&b.valid, ours, "broker", "broker", later},
		{&b.expired, ours, "expired-broker", "broker", before},
		{&c.Client, ours, "client", "client", later},
		{&c.ExpiredClient, ours, "expired-client", "client", before},
		{&c.StrangerClient, stranger, "stranger-client", "client", later},
	} {
		if *w.to, err = w.by.write(dir, w.prefix, w.name, w.end); err != nil {
			return c, b, err
		}
	}
	return c, b, nil
}
