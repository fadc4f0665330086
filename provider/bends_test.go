package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
)

// draft is a token before it is signed.
type draft struct {
	*mint
	kind           tokenKind
	alg            string
	key            jose.JSONWebKey
	header, claims map[string]any
}

// bent is the token, bent in the way of that name; "" is not at all.
func (d *draft) bent(how string) string {
	for _, ways := range []map[string]func(*draft) string{bends, forgiven} {
		if bend := ways[how]; bend != nil {
			return bend(d)
		}
	}
	switch change, missing := changes[how], strings.HasPrefix(how, "no "); {
	case how == "a weak key":
		d.alg, d.key = client.PS256, d.weak
		d.with("alg", d.alg).with("jwk", d.key.Public())
	case missing:
		delete(d.claims, strings.TrimPrefix(how, "no "))
	case how != "":
		d.claims[change.name] = change.value
	}
	return d.signed()
}

// changes of what a token says. Those with a moment lie on both sides of a tolerance.
var changes = map[string]claimChange{
	"another issuer":                {"iss", "https://evil.example"},
	"another audience":              {"aud", "somebody else"},
	"a list of audiences":           {"aud", []string{"somebody else", verdictIssuer}},
	"another subject":               {"sub", "somebody else"},
	"another nonce":                 {"nonce", "other"},
	"another method":                {"htm", "GET"},
	"another address":               {"htu", "https://evil.example/oauth2/token"},
	"expired":                       {"exp", after(-time.Hour)},
	"expired a moment ago":          {"exp", after(-9 * time.Second)},
	"expired a moment too long ago": {"exp", after(-10 * time.Second)},
	"expires now":                   {"exp", after(0)},
	"expires in a second":           {"exp", after(time.Second)},
	"exp with a fraction":           {"exp", float64(after(time.Minute)) + 0.5},
	"exp is text":                   {"exp", "soon"},
	"not yet valid":                 {"nbf", after(11 * time.Second)},
	"valid in a moment":             {"nbf", after(10 * time.Second)},
	"nbf is text":                   {"nbf", "now"},
	"not yet made":                  {"iat", after(11 * time.Second)},
	"made in a moment":              {"iat", after(10 * time.Second)},
	"made long ago":                 {"iat", after(-60 * time.Second)},
	"made too long ago":             {"iat", after(-61 * time.Second)},
	"iat is text":                   {"iat", "now"},
}

type claimChange struct {
	name  string
	value any
}

func after(d time.Duration) int64 { return noon.Add(d).Unix() }

// envelopes are bent around what a token says, which is the same for every kind.
var envelopes = map[string]func(d *draft) string{
	"a flipped bit in the header":    func(d *draft) string { return d.flip(0) },
	"a flipped bit in the payload":   func(d *draft) string { return d.flip(1) },
	"a flipped bit in the signature": func(d *draft) string { return d.flip(2) },
	"alg none":                       func(d *draft) string { return d.with("alg", "none").resigned("") },
	"alg None":                       func(d *draft) string { return d.with("alg", "None").resigned("") },
	"alg none, and a signature":      func(d *draft) string { return d.with("alg", "none").signed() },
	"no alg":                         func(d *draft) string { return d.with("alg", nil).signed() },
	"alg is a number":                func(d *draft) string { return d.with("alg", 256).signed() },
	"another alg":                    func(d *draft) string { return d.with("alg", d.otherAlg()).signed() },
	"an HMAC with the public key":    (*draft).hmac,
	"a stranger's key":               func(d *draft) string { d.key.Key = d.stranger[d.alg].Key; return d.signed() },
	"a stranger's key in the header": func(d *draft) string { return d.strange().signed() },
	"unknown kid":                    func(d *draft) string { return d.with("kid", "nobody's").signed() },
	"unknown typ":                    func(d *draft) string { return d.with("typ", "unknown+jwt").signed() },
	"typ is a number":                func(d *draft) string { return d.with("typ", 1).signed() },
	"crit":                           func(d *draft) string { return d.with("crit", []string{"x"}).with("x", 1).signed() },
	"crit that is empty":             func(d *draft) string { return d.with("crit", []string{}).signed() },
	"crit with b64":                  func(d *draft) string { return d.with("crit", []string{"b64"}).with("b64", false).signed() },
	"cut short":                      func(d *draft) string { s := d.signed(); return s[:len(s)-1-d.IntN(8)] },
	"no signature":                   func(d *draft) string { return d.resigned("") },
	"a signature of zeros":           func(d *draft) string { return d.resigned(encode(make([]byte, 64))) },
	"the signature of another token": func(d *draft) string { return d.resigned(strings.Split(d.seal(text(d.header), "{}"), ".")[2]) },
	"the signature twice":            func(d *draft) string { s := d.signed(); return s + s[strings.LastIndexByte(s, '.')+1:] },
	"a fourth part":                  func(d *draft) string { return d.signed() + "." + encode([]byte("more")) },
	"a dot at the end":               func(d *draft) string { return d.signed() + "." },
	"two parts":                      func(d *draft) string { s := d.signed(); return s[:strings.LastIndexByte(s, '.')] },
	"a letter that is no base64":     func(d *draft) string { return d.insert("*") },
	"letters of another base64":      func(d *draft) string { return d.insert("+/+/") },
	"a blank in front":               func(d *draft) string { return " " + d.signed() },
	"nothing":                        func(*draft) string { return "" },
	"dots":                           func(*draft) string { return ".." },
	"header is a list":               func(d *draft) string { return d.seal("["+text(d.header)+"]", text(d.claims)) },
	"header is null":                 func(d *draft) string { return d.seal("null", text(d.claims)) },
	"header and more":                func(d *draft) string { return d.seal(text(d.header)+"{}", text(d.claims)) },
	"header in capitals":             func(d *draft) string { return d.seal(capitals(text(d.header)), text(d.claims)) },
	"header is not UTF-8":            func(d *draft) string { return d.seal(notUTF8(text(d.header)), text(d.claims)) },
}

// payloads are bent where others write them.
var payloads = map[string]func(d *draft) string{
	"nested":               func(d *draft) string { return d.seal(text(d.header), d.signed()) },
	"payload is a list":    func(d *draft) string { return d.seal(text(d.header), "["+text(d.claims)+"]") },
	"payload is empty":     func(d *draft) string { return d.seal(text(d.header), "") },
	"payload and more":     func(d *draft) string { return d.seal(text(d.header), text(d.claims)+"{}") },
	"payload cut short":    func(d *draft) string { return d.seal(text(d.header), text(d.claims)[1:]) },
	"payload in capitals":  func(d *draft) string { return d.seal(text(d.header), capitals(text(d.claims))) },
	"payload is not UTF-8": func(d *draft) string { return d.seal(text(d.header), notUTF8(text(d.claims))) },
	"blanks between the members": func(d *draft) string {
		return d.seal(text(d.header), strings.ReplaceAll(text(d.claims), `":`, "\" :\n\t"))
	},
}

// bends are all of which both have to think the same.
var bends = func() map[string]func(*draft) string {
	all := maps.Clone(envelopes)
	maps.Copy(all, payloads)
	return all
}()

// harmless bends may leave a token good.
var harmless = map[string]bool{
	"blanks between the members":     true,
	"a stranger's key in the header": true, // of a DPoP proof it is the key
	"unknown kid":                    true, // a DPoP proof needs none
}

// forgiven are the decided differences: jose forgives them, at least to some kinds, and we do not.
// A token and the names in it shall have one spelling only.
var forgiven = map[string]func(d *draft) string{
	"a line break":      func(d *draft) string { return d.insert("\r\n") },
	"padding":           func(d *draft) string { return d.signed() + "==" },
	"unused bits":       (*draft).unusedBits,
	"alg twice":         func(d *draft) string { return d.seal(`{"alg":"none",`+text(d.header)[1:], text(d.claims)) },
	"a byte order mark": func(d *draft) string { return d.seal("\ufeff"+text(d.header), text(d.claims)) },
	"kid is a number":   func(d *draft) string { return d.with("kid", 1).signed() },
}

func (d *draft) signed() string { return d.seal(text(d.header), text(d.claims)) }

// resigned has another signature.
func (d *draft) resigned(signature string) string {
	s := d.signed()
	return s[:strings.LastIndexByte(s, '.')+1] + signature
}

// seal signs a header and a payload as they stand.
func (d *draft) seal(header, payload string) string {
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	return input + "." + encode(signature(d.alg, d.key.Key.(crypto.Signer), input))
}

func signature(alg string, key crypto.Signer, input string) []byte {
	sum := sha256.Sum256([]byte(input))
	switch alg {
	case client.ES256:
		r, s, err := ecdsa.Sign(cryptorand.Reader, key.(*ecdsa.PrivateKey), sum[:])
		must(err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case client.EdDSA:
		return sign(key, []byte(input), crypto.Hash(0))
	case client.PS256:
		return sign(key, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	return sign(key, sum[:], crypto.SHA256)
}

func sign(key crypto.Signer, digest []byte, o crypto.SignerOpts) []byte {
	out, err := key.Sign(cryptorand.Reader, digest, o)
	must(err)
	return out
}

// must is for what cannot fail: all keys and values are made here.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func text(v any) string {
	raw, err := json.Marshal(v)
	must(err)
	return string(raw)
}

// with sets a member of the header; nil takes it out.
func (d *draft) with(name string, value any) *draft {
	d.header[name] = value
	if value == nil {
		delete(d.header, name)
	}
	return d
}

// strange is signed with a key that the header brings along.
func (d *draft) strange() *draft {
	d.key = d.stranger[d.alg]
	return d.with("jwk", d.key.Public())
}

func (d *draft) otherAlg() string {
	all := []string{"ES256", "RS256", "PS256", "EdDSA", "ES384", "HS256", "es256"}
	return pick(d.mint, slices.DeleteFunc(all, func(alg string) bool { return alg == d.alg }))
}

// hmac takes the public key for a secret.
func (d *draft) hmac() string {
	public, err := d.key.Public().MarshalJSON()
	must(err)
	unsigned := strings.TrimSuffix(d.with("alg", "HS256").resigned(""), ".")
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(unsigned))
	return unsigned + "." + encode(mac.Sum(nil))
}

// flip changes one bit of a part.
func (d *draft) flip(part int) string {
	parts := strings.Split(d.signed(), ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[part])
	must(err)
	raw[d.IntN(len(raw))] ^= 1 << d.IntN(8)
	parts[part] = encode(raw)
	return strings.Join(parts, ".")
}

// insert puts letters somewhere into the signature.
func (d *draft) insert(letters string) string {
	s := d.signed()
	at := strings.LastIndexByte(s, '.') + 1
	at += d.IntN(len(s) - at)
	return s[:at] + letters + s[at:]
}

// unusedBits sets bits of the last letter that stand for nothing: 64 and 256 bytes leave four.
func (d *draft) unusedBits() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s := d.signed()
	last := strings.IndexByte(letters, s[len(s)-1])
	return s[:len(s)-1] + letters[last+1:last+2]
}

// capitals writes the names of the members in capitals.
func capitals(object string) string {
	var members map[string]json.RawMessage
	must(json.Unmarshal([]byte(object), &members))
	out := map[string]json.RawMessage{}
	for name, value := range members {
		out[strings.ToUpper(name)] = value
	}
	return text(out)
}

// notUTF8 adds a member with a byte that is none.
func notUTF8(object string) string { return object[:len(object)-1] + ",\"x\":\"\xff\"}" }
