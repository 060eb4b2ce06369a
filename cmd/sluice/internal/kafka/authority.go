package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	clockSkew       = time.Hour
)

// Authority is a certificate authority for development. Its certificate is a file that clients trust; its key never leaves
// its directory.
type Authority struct {
	// File is the certificate's, in PEM.
	File string

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// OpenAuthority reads the authority that a directory holds, or makes one there.
func OpenAuthority(dir string) (*Authority, error) {
	a := &Authority{File: filepath.Join(dir, "ca.pem")}
	pair, err := tls.LoadX509KeyPair(a.File, filepath.Join(dir, "ca.key"))
	if errors.Is(err, os.ErrNotExist) {
		if err := a.create(dir); err != nil {
			return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
		}
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w; delete the directory to have another one made", dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || time.Now().After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("certificate authority in %s: not ours, or expired (%s); delete the directory to have another one made",
			dir, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	a.certificate, a.key = pair.Leaf, key
	return a, nil
}

func (a *Authority) create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := certificate("Sluice broker, development authority", authorityLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: a certificate without its key would be taken for a whole authority by clients alone.
	if err := writePEM(filepath.Join(dir, "ca.key"), "PRIVATE KEY", secret); err != nil {
		return err
	}
	return writePEM(a.File, "CERTIFICATE", der)
}

// Server returns what a broker that is known by these hosts needs. Its certificate is made anew each time, in memory.
func (a *Authority) Server(hosts ...string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate("Sluice broker", certificateLife)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, hosts) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}

func certificate(name string, life time.Duration) *x509.Certificate {
	const bits = 127
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits)) // crypto/rand does not fail
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(life),
	}
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
