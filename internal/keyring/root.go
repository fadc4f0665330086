package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"eid.example/idp/internal/fault"
)

// Root is the one secret that the provider is given from outside; everything else is sealed under
// it or derived from it. Whoever holds it and the database can sign as the provider. It redacts
// itself wherever it is printed.
type Root struct{ key [rootSize]byte }

const rootSize = 32

// Errors of the root key and of what is sealed under it.
var (
	ErrRoot      = fmt.Errorf("root key: %w", fault.Invalid)
	ErrWrongRoot = fmt.Errorf("sealed under another root key than the one given: %w", fault.Invalid)
	ErrSealed    = fmt.Errorf("sealed value is damaged or not meant for this place: %w", fault.Invalid)
)

// LoadRoot reads a root key: a file with 32 bytes, or with their base64. Errors wrap ErrRoot.
func LoadRoot(path string) (Root, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Root{}, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	root, ok := parseRoot(raw)
	if !ok {
		return Root{}, fmt.Errorf("%w: %s has to hold 32 random bytes, raw or as base64 (openssl rand -base64 32)", ErrRoot, path)
	}
	return root, nil
}

// LoadOrCreateRoot is LoadRoot, but writes a fresh key (mode 0600) where there is no file. It is
// for the embedded default and the demo; in production a missing root key is an error.
func LoadOrCreateRoot(path string) (Root, error) {
	root, err := LoadRoot(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	rand.Read(root.key[:]) // never fails (since Go 1.24)
	if err := writeNew(path, base64.StdEncoding.EncodeToString(root.key[:])+"\n"); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was first
			return LoadRoot(path)
		}
		return Root{}, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return root, nil
}

// writeNew creates the file with its content in one step, so that nobody ever reads half a key.
func writeNew(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".root-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path) // fails when the file exists, unlike a rename
}

func parseRoot(raw []byte) (Root, bool) {
	if len(raw) != rootSize {
		text := strings.TrimRight(strings.TrimSpace(string(raw)), "=")
		text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
		decoded, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			return Root{}, false
		}
		raw = decoded
	}
	if len(raw) != rootSize || bytes.Count(raw, raw[:1]) == rootSize { // 32 equal bytes: a placeholder, no key
		return Root{}, false
	}
	return Root{[rootSize]byte(raw)}, true
}

// String redacts.
func (Root) String() string { return "keyring.Root(redacted)" }

// GoString redacts under %#v.
func (r Root) GoString() string { return r.String() }

// MarshalText redacts in JSON and in logs.
func (r Root) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// derive is HKDF-SHA256 (RFC 5869); what it is for is part of the input, so that no two purposes
// ever share a key.
func (r Root) derive(purpose, label string, size int) []byte {
	key, err := hkdf.Key(sha256.New, r.key[:], nil, "idp "+purpose+"\x00"+label, size)
	if err != nil {
		panic(err) // only for a size beyond 8160
	}
	return key
}

// box seals small values with AES-256-GCM under keys derived from a root. It is safe for
// concurrent use.
//
//	version 1 | name of the root key, 8 bytes | nonce, 12 bytes | ciphertext and tag
//
// The random nonce allows 2^36 values per label before a repeated one becomes likelier than 2^-24.
type box struct {
	root  Root
	name  []byte
	aeads sync.Map // label -> cipher.AEAD
}

const (
	boxVersion = 1
	nameSize   = 8
	boxHeader  = 1 + nameSize
)

func newBox(root Root) *box { return &box{root: root, name: root.derive("name", "", nameSize)} }

func (b *box) aead(label string) cipher.AEAD {
	if known, ok := b.aeads.Load(label); ok {
		return known.(cipher.AEAD)
	}
	block, err := aes.NewCipher(b.root.derive("seal", label, 32))
	if err != nil {
		panic(err) // only for a key of another size
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block cipher other than AES
	}
	known, _ := b.aeads.LoadOrStore(label, aead)
	return known.(cipher.AEAD)
}

func (b *box) seal(label string, plaintext, aad []byte) []byte {
	aead := b.aead(label)
	out := make([]byte, 0, boxHeader+aead.Overhead()+len(plaintext))
	out = append(append(out, boxVersion), b.name...)
	return aead.Seal(out, nil, plaintext, aad)
}

func (b *box) open(label string, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < boxHeader || sealed[0] != boxVersion {
		return nil, ErrSealed
	}
	if !bytes.Equal(sealed[1:boxHeader], b.name) {
		return nil, ErrWrongRoot
	}
	plaintext, err := b.aead(label).Open(nil, nil, sealed[boxHeader:], aad)
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}
