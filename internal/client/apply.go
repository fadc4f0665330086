package client

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

// Secret is a client secret that was made just now: it is printed once and kept as a hash.
type Secret struct {
	Client ID
	Secret string
}

// Complete turns what a file says into the clients to store, given those that are registered: it
// makes the secrets that are asked for, but only where there is none yet, so that applying a file
// twice changes nothing. It refuses what only the register can tell: a name that people cannot
// tell from that of another client, and a change that would give every person a new sub.
func Complete(file string, registrations []Registration, registered []Client) (clients []Client, made []Secret, err error) {
	doc := &document{file: file}
	for _, reg := range registrations {
		c := reg.Client
		at := fmt.Sprintf("client %s", c.ID)
		known := slices.IndexFunc(registered, func(r Client) bool { return r.ID == c.ID })
		if other, clash := lookAlike(c, registered, registrations); clash {
			doc.complain(reg.Line, at, "people cannot tell its name from that of the registered client %s", other)
		}
		if known >= 0 && registered[known].Ended() {
			doc.complain(reg.Line, at, "ended its registration on %s; an id is never given out again", registered[known].EndedAt.Format(time.DateOnly))
			continue
		}
		if known >= 0 && registered[known].estranges(&c) {
			doc.complain(reg.Line, at, "its people would all become strangers to it, because sub is made for the host %s now; write sector_identifier: %s",
				registered[known].Sector(), registered[known].Sector())
		}
		switch {
		case !reg.GenerateSecret:
		case known >= 0 && len(registered[known].SecretHashes) > 0:
			c.SecretHashes = registered[known].SecretHashes
		default:
			secret := newSecret()
			hash := sha256.Sum256([]byte(secret))
			c.SecretHashes = [][]byte{bytes.Clone(hash[:])}
			made = append(made, Secret{c.ID, secret})
		}
		clients = append(clients, c)
	}
	if err := doc.err(); err != nil {
		return nil, nil, err
	}
	return clients, made, nil
}

// lookAlike finds a registered client with a name that people would take for that of c. Clients
// that the same file replaces are compared within the file already; those that ended need no name.
func lookAlike(c Client, registered []Client, file []Registration) (ID, bool) {
	for _, r := range registered {
		if r.Ended() || slices.ContainsFunc(file, func(reg Registration) bool { return reg.Client.ID == r.ID }) {
			continue
		}
		for _, s := range skeletons(r) {
			if slices.Contains(skeletons(c), s) {
				return r.ID, true
			}
		}
	}
	return "", false
}

// newSecret returns 256 random bits.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (since Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
}
