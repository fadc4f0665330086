package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Nonces are the server's nonces (RFC 9449, section 8). They are a time step and a MAC, so that
// every instance knows those of all others and nothing has to be kept.
type Nonces struct {
	Key []byte
	Now func() time.Time
}

// nonceStep is how long one nonce is handed out; it is accepted for one step more.
const nonceStep = 2 * time.Minute

// Current is the nonce to hand out now.
func (n Nonces) Current() string { return n.at(n.step()) }

// Valid reports whether a nonce is the current one or the one before; the next one too, for
// instances whose clocks differ.
func (n Nonces) Valid(nonce string) bool {
	now := n.step()
	ok := false
	for _, step := range []int64{now - 1, now, now + 1} {
		ok = hmac.Equal([]byte(nonce), []byte(n.at(step))) || ok
	}
	return ok
}

func (n Nonces) step() int64 { return n.Now().Unix() / int64(nonceStep/time.Second) }

func (n Nonces) at(step int64) string {
	mac := hmac.New(sha256.New, n.Key)
	mac.Write(binary.BigEndian.AppendUint64([]byte("nonce"), uint64(step)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}
