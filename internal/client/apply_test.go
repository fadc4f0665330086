package client_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"eid.example/idp/internal/client"
)

func complete(t testing.TB, file string, registered ...client.Client) ([]client.Client, []client.Secret, error) {
	t.Helper()
	return client.Complete("clients.yaml", parse(t, file), registered)
}

func TestSecretIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	clients, made, err := complete(t, good)
	if err != nil || len(made) != 1 || made[0].Client != "shop" || len(made[0].Secret) != 43 {
		t.Fatalf("%v, %v, %v", clients, made, err)
	}
	if !clients[0].CheckSecret(made[0].Secret) || clients[0].CheckSecret("") || clients[0].CheckSecret("generate") {
		t.Error("the client does not check against the secret that was made")
	}
	again, made, err := complete(t, good, clients...)
	if err != nil || len(made) != 0 || string(again[0].SecretHashes[0]) != string(clients[0].SecretHashes[0]) {
		t.Errorf("applied again: %v, %v, %v", again, made, err)
	}
}

func TestHashInTheFileReplacesTheSecret(t *testing.T) {
	t.Parallel()
	clients, _, err := complete(t, good)
	if err != nil {
		t.Fatal(err)
	}
	secret, hash := client.NewSecret()
	line := "client_secret: sha256:" + base64.RawURLEncoding.EncodeToString(hash)
	replaced, made, err := complete(t, change(t, "client_secret: generate", line), clients...)
	if err != nil || len(made) != 0 || !replaced[0].CheckSecret(secret) {
		t.Errorf("%v, %v, %v", replaced, made, err)
	}
}

func TestNameOfARegisteredClientIsRefused(t *testing.T) {
	t.Parallel()
	registered, _, err := complete(t, good)
	if err != nil {
		t.Fatal(err)
	}
	twin := strings.Replace(change(t, "client_name: Shop", "client_name: SH0P"), "client_id: shop", "client_id: twin", 1)
	if _, _, err := complete(t, twin, registered...); err == nil || !strings.Contains(err.Error(), "registered client shop") {
		t.Errorf("a look-alike of a registered client: %v", err)
	}
	if _, _, err := complete(t, change(t, "client_name: Shop", "client_name: SHOP"), registered...); err != nil {
		t.Errorf("the client itself changes its name: %v", err)
	}
}

func TestChangeOfTheSectorIsRefused(t *testing.T) {
	t.Parallel()
	registered, _, err := complete(t, good)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(good, "https://shop.example/", "https://new.shop.example/")
	if _, _, err := complete(t, moved, registered...); err == nil || !strings.Contains(err.Error(), "sector_identifier: shop.example") {
		t.Errorf("moved without a word: %v", err)
	}
	named := strings.Replace(moved, "    domain:", "    sector_identifier: shop.example\n    domain:", 1)
	if _, _, err := complete(t, named, registered...); err != nil {
		t.Errorf("moved with the old sector: %v", err)
	}
}
