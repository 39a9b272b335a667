package cloud

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

func (s Settings) certificatePath() string { return filepath.Join(s.Dir, "emulator.crt") }

// certificate returns a self-signed certificate for the loopback address and its key, made if there is none that lasts another day.
// The lake's bucket policy refuses what does not come over TLS, and the emulator enforces that.
func (s Settings) certificate(now time.Time) (cert, key string, err error) {
	cert, key = s.certificatePath(), filepath.Join(s.Dir, "emulator.key")
	if content, err := os.ReadFile(cert); err == nil {
		if block, _ := pem.Decode(content); block != nil {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil && c.NotAfter.After(now.Add(24*time.Hour)) {
				return cert, key, nil
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", "", err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "millrace local cloud"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	public, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	// The key first: a certificate that is there has its key.
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o644)
}
