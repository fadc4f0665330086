package stage

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/demo/rp"
)

//go:embed clients.yaml
var clientsYAML string

// registerClients registers the demo's relying parties, and those of -clients. The secrets of the
// demo are derived from its root key, so that they survive a restart without lying anywhere.
func (s *Stage) registerClients(ctx context.Context) error {
	key, err := s.bankKey()
	if err != nil {
		return err
	}
	place := strings.NewReplacer("${portal}", s.ports.portal.url(), "${airline}", s.ports.airline.url(), "${bank}", s.ports.bank.url(),
		"${bank_jwks}", rp.PublicJWKS(key))
	rules := client.Rules{AllowInsecure: true}
	registrations, err := rules.ParseFile("clients.yaml", []byte(place.Replace(clientsYAML)))
	if err != nil {
		return err
	}
	if s.options.ClientsFile != "" {
		raw, err := os.ReadFile(s.options.ClientsFile)
		if err != nil {
			return err
		}
		more, err := rules.ParseFile(s.options.ClientsFile, raw)
		if err != nil {
			return err
		}
		registrations = append(registrations, more...)
	}
	clients := make([]client.Client, len(registrations))
	for i, r := range registrations {
		secret := ""
		if r.GenerateSecret {
			secret = base64.RawURLEncoding.EncodeToString(s.Server.Keys.Secret("demo client " + string(r.Client.ID)))
			sum := sha256.Sum256([]byte(secret))
			r.Client.SecretHashes = [][]byte{sum[:]}
		}
		r.Client.UpdatedAt = s.Clock.Now()
		clients[i] = r.Client
		s.noteClient(strings.TrimPrefix(string(r.Client.ID), "demo-"), r.Client, secret)
	}
	if err := s.noteKey("bank", key); err != nil {
		return err
	}
	_, _, err = s.Server.Store.ApplyClients(ctx, clients, func(c client.Client, created bool) audit.Event {
		return audit.Event{At: s.Clock.Now(), Action: audit.ClientApplied, Actor: "system", Client: string(c.ID),
			Detail: map[string]string{"by": "demo", "created": fmt.Sprint(created)}}
	})
	if err != nil {
		return err
	}
	if err := s.Server.Clients.Refresh(ctx); err != nil {
		return err
	}
	return s.Server.PrepareKeys(ctx) // published before the first of them can come
}

// bankKey is the key with which the demo's bank proves itself. Like the secrets of the others it is
// derived from the demo's root key.
func (s *Stage) bankKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), s.Server.Keys.Secret("demo key bank"))
}

// noteKey tells outsiders the private key of a client, so that they can play its part.
func (s *Stage) noteKey(client string, key *ecdsa.PrivateKey) error {
	private := jose.JSONWebKey{Key: key, Algorithm: string(jose.ES256), Use: "sig"}
	thumbprint, err := private.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	private.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	for i := range s.Facts.Clients {
		if s.Facts.Clients[i].Key == client {
			s.Facts.Clients[i].JWK = &private
		}
	}
	return nil
}
