package clientkeys

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// MaxToken is the longest token of a client that is read, in bytes.
const MaxToken = 16 << 10

// ErrToken: what a client signed is not acceptable. Reason says why, in words that may be sent.
var ErrToken = fmt.Errorf("token of a client: %w", fault.Invalid)

func wrong(reason string) error { return fmt.Errorf("%w: %s", ErrToken, reason) }

// Reason is the part of an ErrToken that may be sent to the client; empty for other errors.
func Reason(err error) string {
	if !errors.Is(err, ErrToken) {
		return ""
	}
	_, reason, _ := strings.Cut(err.Error(), ErrToken.Error()+": ")
	return reason
}

// Header is what a verified token says about itself.
type Header struct{ Alg, Kid, Typ string }

// errNoKey: no key of the client is the one; a newer set may have it.
var errNoKey = wrong("no key of the client fits its kid and alg")

// Verify checks a compact JWS that a client signed and returns its payload. algs is the allow-list
// of algorithms. typ has to be one of typs, which are in small letters and without "application/",
// as neither counts (RFC 7515, section 4.1.9); "" among them allows a token without. Errors wrap ErrToken, or are those of Of.
//
// Only registered keys count: a token that brings its own (jwk, jku, x5c, x5u) or that wants an
// extension understood (crit) is refused (RFC 8725, section 3.10; RFC 7515, section 4.1.11).
func (k *Keys) Verify(ctx context.Context, c *client.Client, token string, algs []jose.SignatureAlgorithm, typs ...string) ([]byte, Header, error) {
	h, err := readHeader(token)
	if err != nil {
		return nil, Header{}, err
	}
	switch {
	case !slices.Contains(algs, jose.SignatureAlgorithm(h.Alg)):
		return nil, Header{}, wrong("alg is not accepted")
	case !slices.Contains(typs, mediaType(h.Typ)):
		return nil, Header{}, wrong("typ is not accepted")
	}
	signed, err := jose.ParseSignedCompact(token, algs)
	if err != nil {
		return nil, Header{}, wrong("not a signed JWT")
	}
	set, err := k.Of(ctx, c)
	if err != nil {
		return nil, Header{}, err
	}
	payload, err := verify(signed, set, h)
	if newer, ok := k.whenNotFound(ctx, c, h, err); ok {
		payload, err = verify(signed, newer, h)
	}
	switch {
	case err != nil:
		return nil, Header{}, err
	case !utf8.Valid(payload): // RFC 7519, section 7.2
		return nil, Header{}, wrong("the payload is not UTF-8")
	}
	return payload, h, nil
}

// whenNotFound fetches the client's keys again if it may have rotated them: an unknown kid, or no
// kid and a signature that does not verify.
func (k *Keys) whenNotFound(ctx context.Context, c *client.Client, h Header, err error) (jose.JSONWebKeySet, bool) {
	if err == nil || !errors.Is(err, errNoKey) && h.Kid != "" {
		return jose.JSONWebKeySet{}, false
	}
	return k.again(ctx, c)
}

func verify(signed *jose.JSONWebSignature, set jose.JSONWebKeySet, h Header) ([]byte, error) {
	var fitting []jose.JSONWebKey
	for _, key := range set.Keys {
		if (h.Kid == "" || key.KeyID == h.Kid) && client.Fits(key, h.Alg) {
			fitting = append(fitting, key)
		}
	}
	switch {
	case len(fitting) == 0:
		return nil, errNoKey
	case len(fitting) > 1:
		return nil, wrong("several keys of the client fit; name one by its kid")
	}
	payload, err := signed.Verify(fitting[0].Key)
	if err != nil {
		return nil, wrong("the signature does not verify")
	}
	return payload, nil
}

func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// readHeader checks the outer form of a compact JWS and reads its header. A token and the names in
// it have one spelling only, so that nothing hides behind a second one.
func readHeader(token string) (Header, error) {
	if len(token) > MaxToken || strings.Count(token, ".") != 2 {
		return Header{}, wrong("not a compact JWS")
	}
	parts := strings.Split(token, ".")
	for _, part := range parts {
		// The decoder skips line breaks.
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return Header{}, wrong("not base64url")
		}
	}
	members, err := object(parts[0])
	if err != nil {
		return Header{}, wrong("the header is not JSON")
	}
	for _, name := range []string{"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "p2c"} {
		if _, ok := members[name]; ok {
			return Header{}, wrong("the header member " + name + " is not accepted")
		}
	}
	var h Header
	for name, to := range map[string]*string{"alg": &h.Alg, "kid": &h.Kid, "typ": &h.Typ} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, to) != nil {
			return Header{}, wrong("the header member " + name + " is not text")
		}
	}
	return h, nil
}

// object reads a base64url part as a JSON object.
func object(encoded string) (map[string]json.RawMessage, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, errors.New("null")
	}
	return members, nil
}
