package server

import (
	"crypto/x509"
	"errors"
	"net/http"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
)

type noCertificates struct{}

func (noCertificates) Of(*http.Request) *x509.Certificate { return nil }
func (noCertificates) Listener(*http.Request) bool        { return false }
func (noCertificates) Matches(*x509.Certificate, *client.Client, jose.JSONWebKeySet) error {
	return errors.New("no")
}
