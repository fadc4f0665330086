package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
)

var sample = []byte("\x00\x01\xfe\xff0123456789abcdefghijklmnop+/")

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRootKeyIsReadRawAndAsBase64(t *testing.T) {
	t.Parallel()
	want, err := keyring.LoadRoot(write(t, string(sample)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(sample),
		base64.StdEncoding.EncodeToString(sample) + "\n",
		base64.RawStdEncoding.EncodeToString(sample) + "\r\n",
		base64.URLEncoding.EncodeToString(sample),
		base64.RawURLEncoding.EncodeToString(sample),
	} {
		if got, err := keyring.LoadRoot(write(t, text)); err != nil || got != want {
			t.Errorf("LoadRoot of %q: %v", text, err)
		}
	}
}

func TestBadRootKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"", "\n", "short", string(sample[:31]), string(sample) + "x",
		base64.StdEncoding.EncodeToString(sample[:31]),
		base64.StdEncoding.EncodeToString(append(bytes.Clone(sample), 1)),
		string(make([]byte, 32)), base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
	} {
		if _, err := keyring.LoadRoot(write(t, content)); !errors.Is(err, keyring.ErrRoot) {
			t.Errorf("LoadRoot of %q: %v", content, err)
		}
		if _, err := keyring.LoadOrCreateRoot(write(t, content)); !errors.Is(err, keyring.ErrRoot) {
			t.Errorf("LoadOrCreateRoot replaced or accepted %q: %v", content, err)
		}
	}
	if _, err := keyring.LoadRoot(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, keyring.ErrRoot) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestRootKeyIsCreatedOnceAndForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "root")
	roots := make([]keyring.Root, 8)
	var wg sync.WaitGroup
	for i := range roots {
		wg.Go(func() {
			var err error
			if roots[i], err = keyring.LoadOrCreateRoot(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range roots {
		if r != roots[0] || r == (keyring.Root{}) {
			t.Fatal("processes that start together have different root keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestRootKeyNeverShows(t *testing.T) {
	t.Parallel()
	root, err := keyring.LoadRoot(write(t, string(sample)))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"root": root})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(root), fmt.Sprintf("%#v", root), fmt.Sprintf("%+v", root), string(asJSON)} {
		if bytes.Contains([]byte(shown), sample[4:10]) || bytes.Contains([]byte(shown), []byte("48 49 50")) {
			t.Errorf("the root key shows in %s", shown)
		}
	}
}

func TestSecretsDifferByLabelAndStayTheSame(t *testing.T) {
	t.Parallel()
	k, other := newKeyring(t), newKeyring(t)
	if len(k.Secret("pairwise")) != 32 || !bytes.Equal(k.Secret("pairwise"), k.Secret("pairwise")) {
		t.Error("a secret changes")
	}
	if bytes.Equal(k.Secret("pairwise"), k.Secret("number")) || bytes.Equal(k.Secret("pairwise"), other.Secret("pairwise")) {
		t.Error("different labels or roots share a secret")
	}
}

func TestSealedValuesOpenOnlyInTheirPlace(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	sealed := k.Seal("claims", []byte("secret"), []byte("token-1"))
	if got, err := k.Open("claims", sealed, []byte("token-1")); err != nil || string(got) != "secret" {
		t.Fatalf("Open: %q, %v", got, err)
	}
	if bytes.Equal(sealed, k.Seal("claims", []byte("secret"), []byte("token-1"))) {
		t.Error("sealing twice gives the same bytes: the nonce is not fresh")
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the value is readable")
	}
	wrong := map[string]func() ([]byte, error){
		"another label": func() ([]byte, error) { return k.Open("other", sealed, []byte("token-1")) },
		"another place": func() ([]byte, error) { return k.Open("claims", sealed, []byte("token-2")) },
		"cut":           func() ([]byte, error) { return k.Open("claims", sealed[:len(sealed)-1], []byte("token-1")) },
		"empty":         func() ([]byte, error) { return k.Open("claims", nil, []byte("token-1")) },
		"header only":   func() ([]byte, error) { return k.Open("claims", sealed[:9], []byte("token-1")) },
	}
	for i := range sealed {
		wrong[fmt.Sprintf("bit of byte %d", i)] = func() ([]byte, error) {
			bad := bytes.Clone(sealed)
			bad[i] ^= 0x10
			return k.Open("claims", bad, []byte("token-1"))
		}
	}
	for name, try := range wrong {
		if got, err := try(); !errors.Is(err, fault.Invalid) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := newKeyring(t).Open("claims", sealed, []byte("token-1")); !errors.Is(err, keyring.ErrWrongRoot) {
		t.Errorf("another root key: %v", err)
	}
}
