package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eid.example/idp/internal/policy"
)

func TestConfigReadsEnvironmentThenFlags(t *testing.T) {
	c, err := LoadConfig([]string{"IDP_ISSUER=https://id.example", "IDP_LISTEN=:1", "IDP_DATABASE_URL=postgres://db/idp", "IDP_REDIS_URL=redis://r",
		"IDP_REGISTRY_CITIZEN_CARD_URL=https://idp:key@cards.example", "PATH=/bin"}, []string{"-listen", ":2", "--data-dir=/var/idp"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":2" || c.DataDir != "/var/idp" || c.RootKeyFile != "/var/idp/root.key" || c.OpsListen != "127.0.0.1:9090" {
		t.Errorf("%+v", c)
	}
	if c.Registers[policy.FromCitizenCard] != "https://idp:key@cards.example" {
		t.Errorf("registers %v", c.Registers)
	}
}

func TestConfigReadsSecretsFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(file, []byte("postgres://u:p@db/idp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig([]string{"IDP_ISSUER=https://id.example", "IDP_REDIS_URL=redis://r"}, []string{"-database-url-file", file})
	if err != nil || c.DatabaseURL != "postgres://u:p@db/idp" {
		t.Errorf("%q %v", c.DatabaseURL, err)
	}
}

func TestConfigSaysEverythingThatIsWrong(t *testing.T) {
	stores := []string{"IDP_DATABASE_URL=postgres://db", "IDP_REDIS_URL=redis://r"}
	cases := []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"misspelt name", append(stores, "IDP_ISSUER=https://id.example", "IDP_LISTN=:1"), nil, []string{"IDP_LISTN"}},
		{"unknown register", append(stores, "IDP_ISSUER=https://id.example", "IDP_REGISTRY_DOGS_URL=x"), nil, []string{"IDP_REGISTRY_DOGS_URL"}},
		{"misspelt flag", append(stores, "IDP_ISSUER=https://id.example"), []string{"-lisen", ":1"}, []string{"-lisen"}},
		{"flag without value", append(stores, "IDP_ISSUER=https://id.example"), []string{"-listen"}, []string{"-listen"}},
		{"no issuer", stores, nil, []string{"IDP_ISSUER"}},
		{"issuer with a path", append(stores, "IDP_ISSUER=https://id.example/op"), nil, []string{"IDP_ISSUER"}},
		{"issuer with a trailing slash", append(stores, "IDP_ISSUER=https://id.example/"), nil, []string{"IDP_ISSUER"}},
		{"issuer over http", append(stores, "IDP_ISSUER=http://id.example"), nil, []string{"IDP_ISSUER"}},
		{"embedded stores behind a public issuer", []string{"IDP_ISSUER=https://id.example"}, nil, []string{"IDP_DATABASE_URL"}},
		{"certificate without key", append(stores, "IDP_ISSUER=https://id.example", "IDP_TLS_CERT_FILE=c.pem"), nil, []string{"IDP_TLS_CERT_FILE"}},
		{"proxies that are no networks", append(stores, "IDP_ISSUER=https://id.example", "IDP_TRUSTED_PROXIES=10.0.0.1"), nil, []string{"IDP_TRUSTED_PROXIES"}},
		{"missing secret file", append(stores, "IDP_ISSUER=https://id.example", "IDP_SMS_URL_FILE=/nowhere/sms"), nil, []string{"IDP_SMS_URL_FILE"}},
		{"two at once", []string{"IDP_ISSUER=http://id.example", "IDP_NO=1"}, nil, []string{"IDP_ISSUER", "IDP_NO"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadConfig(c.env, c.args)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %s", err, want)
				}
			}
		})
	}
}

func TestConfigAcceptsEmbeddedStoresOnLoopbackOrWhenTold(t *testing.T) {
	for _, env := range [][]string{
		{"IDP_ISSUER=http://localhost:8080"}, {"IDP_ISSUER=http://127.0.0.1:8080"}, {"IDP_ISSUER=http://[::1]:8080"},
		{"IDP_ISSUER=https://id.example", "IDP_ALLOW_EMBEDDED=1"},
	} {
		if _, err := LoadConfig(env, nil); err != nil {
			t.Errorf("%v: %v", env, err)
		}
	}
}

func TestManualTellsEverySetting(t *testing.T) {
	var b strings.Builder
	if err := Manual(&b); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		name := s.env
		if strings.HasPrefix(name, "IDP_REGISTRY_") {
			name = "IDP_REGISTRY_*_URL"
		}
		if !strings.Contains(b.String(), name+"  (-") {
			t.Errorf("the manual does not have %s", name)
		}
	}
}

func TestSecondServerOnOneEmbeddedDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	first, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockFolder(dir)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	again.Close()
}
