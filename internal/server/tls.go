package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// certificate returns the TLS configuration of the public listener; nil when a proxy speaks TLS.
// It offers 1.3, and in 1.2 only the suites that FAPI 2.0 allows (Security Profile, section 5.2.1).
func (c Config) certificate(log *slog.Logger) (*tls.Config, error) {
	if c.TLSCertFile == "" {
		return nil, nil
	}
	pair := &keyPair{certFile: c.TLSCertFile, keyFile: c.TLSKeyFile, log: log}
	if err := pair.load(pair.look()); err != nil {
		return nil, fmt.Errorf("IDP_TLS_CERT_FILE: %w", err)
	}
	return &tls.Config{
		GetCertificate: pair.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
	}, nil
}

// keyPair is a certificate with its key, read again when its files have changed: certificates are
// renewed every few weeks, and that is no reason to restart.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex // guards the rest
	loaded *tls.Certificate
	read   [2]os.FileInfo // the files that were read last, usable or not
}

func (p *keyPair) look() (files [2]os.FileInfo) {
	for i, name := range []string{p.certFile, p.keyFile} {
		if info, err := os.Stat(name); err == nil {
			files[i] = info
		}
	}
	return files
}

func (p *keyPair) load(files [2]os.FileInfo) error {
	p.read = files
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err == nil {
		p.loaded = &pair
	}
	return err
}

// get is called for every full handshake. A pair that cannot be used, perhaps because only one of
// the two files is new yet, leaves the old one in place.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	files := p.look()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !same(files[0], p.read[0]) || !same(files[1], p.read[1]) {
		if err := p.load(files); err != nil {
			p.log.Error("the new certificate cannot be used", "error", err.Error())
		}
	}
	return p.loaded, nil
}

// same reports whether a file was neither replaced nor written.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
