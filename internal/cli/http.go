package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// httpFlags configures access to a coordinator's HTTP address.
type httpFlags struct {
	HTTP    string `name:"http" env:"AMENDS_HTTP" default:"127.0.0.1:8080" help:"The coordinator's --http address, or a URL."`
	TLSCert string `name:"tls-cert" env:"AMENDS_TLS_CERT" type:"path" placeholder:"FILE" help:"Use TLS and trust these certificates, PEM: the server's own (serve --tls-cert) or its CA's."`
}

// reach returns an HTTP client and the base URL.
func (f *httpFlags) reach() (*http.Client, string, error) {
	base := baseURL(f.HTTP)
	if f.TLSCert == "" {
		return http.DefaultClient, base, nil
	}
	data, err := os.ReadFile(f.TLSCert)
	if err != nil {
		return nil, "", &exitError{code: ExitUsage, err: fmt.Errorf("read the certificates to trust: %w", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, "", &exitError{code: ExitUsage, err: fmt.Errorf("%s holds no certificate in PEM form", f.TLSCert)}
	}
	if !strings.Contains(f.HTTP, "://") {
		base = "https" + strings.TrimPrefix(base, "http")
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, "", &exitError{code: ExitUsage, err: err}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
		config.ServerName = ownName(data) // the certificate is for the public name, not for loopback
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}, base, nil
}

// ownName returns a DNS name from a server's certificate. It returns "" if the certificate has
// none, or if it is a CA certificate.
func ownName(data []byte) string {
	block, _ := pem.Decode(data)
	if block == nil {
		return ""
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(cert.DNSNames) == 0 {
		return ""
	}
	return strings.Replace(cert.DNSNames[0], "*", "any", 1)
}
