package stage_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/internal/server"
	"eid.example/idp/internal/stage"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
)

// in lets the demo keep its state in a folder.
func in(dir string) func(*stage.Options) {
	return func(o *stage.Options) { o.Config.DataDir = dir }
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before stage.Facts
	t.Run("first start", func(t *testing.T) {
		idp := idptest.New(t, in(dir))
		before = idp.Facts
		idp.Browser().SignedIn(idp.Flow("tool", "openid profile"), idp.Person("M1"))
		if err := idp.Clock.Advance(31 * time.Hour); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("second start", func(t *testing.T) {
		idp := idptest.New(t, in(dir))
		if ahead := time.Until(idp.Clock.Now()); ahead < 30*time.Hour {
			t.Errorf("the clock is %v ahead, want 31h", ahead)
		}
		for i, p := range idp.Facts.People {
			if p.Number != before.People[i].Number || p.Password != before.People[i].Password {
				t.Errorf("%s changed: %+v", p.Key, p)
			}
		}
		for i, c := range idp.Facts.Clients {
			if c.Secret != before.Clients[i].Secret {
				t.Errorf("%s has another secret", c.ID)
			}
		}
		f := idp.Flow("tool", "openid profile")
		if page := idp.Browser().Get(f.Address()).SignIn(idp.Person("M1")); page.Left == nil {
			t.Errorf("the consent is forgotten: %s", page.Text())
		}
	})
	t.Run("reset", func(t *testing.T) {
		idp := idptest.New(t, in(dir), func(o *stage.Options) { o.Reset = true })
		if ahead := time.Until(idp.Clock.Now()); ahead > time.Minute {
			t.Errorf("the clock is still %v ahead", ahead)
		}
		if idp.Client("portal").Secret == before.Clients[0].Secret {
			t.Error("a client kept its secret")
		}
		f := idp.Flow("tool", "openid profile")
		if page := idp.Browser().Get(f.Address()).SignIn(idp.Person("M1")); !page.Has("consent-form") {
			t.Errorf("the consent survived: %s", page.Text())
		}
	})
}

func TestResetSparesWhatIsNotTheDemos(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(mine, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	idptest.New(t, in(dir), func(o *stage.Options) { o.Reset = true })
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

// production adds the production pair with a schema of its own; ok is false without one.
func production(t *testing.T, o *stage.Options) bool {
	t.Helper()
	c := &o.Config
	c.DatabaseURL, c.RedisURL = os.Getenv("IDP_DATABASE_URL"), os.Getenv("IDP_REDIS_URL")
	o.Schema = "t" + strings.ToLower(rand.Text())
	if c.DatabaseURL == "" || c.RedisURL == "" {
		return false
	}
	t.Cleanup(func() {
		db, err := sqldb.Open(context.Background(), c.DatabaseURL, sqldb.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer db.Close()
		if _, err := db.Exec(context.Background(), `DROP SCHEMA `+o.Schema+` CASCADE`); err != nil {
			t.Error(err)
		}
	})
	return true
}

func TestResetEmptiesTheDatabaseOfADemo(t *testing.T) {
	t.Parallel()
	o := options(t)
	if !production(t, &o) {
		o.Config.DatabaseURL, o.Config.RedisURL = "", ""
	}
	for _, reset := range []bool{false, false, true} {
		o.Reset = reset
		s, err := stage.Open(t.Context(), o)
		if err != nil {
			t.Fatalf("reset %v: %v", reset, err)
		}
		clients, err := s.Server.Store.Clients(t.Context())
		if err != nil || len(clients) != len(s.Facts.Clients) {
			t.Errorf("reset %v: %d clients, %v", reset, len(clients), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestResetSparesADatabaseThatServesOthers(t *testing.T) {
	t.Parallel()
	o := options(t, func(o *stage.Options) { o.Reset = true })
	if !production(t, &o) {
		return // an embedded database lies in the demo's own folder
	}
	db, err := sqldb.Open(t.Context(), o.Config.DatabaseURL, sqldb.Options{Schema: o.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := storage.Migrate(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	store := storage.New(db, time.Now)
	if _, _, err := store.ApplyClients(t.Context(), []client.Client{{ID: "ministry"}}, func(client.Client, bool) audit.Event { return audit.Event{At: time.Now()} }); err != nil {
		t.Fatal(err)
	}
	if s, err := stage.Open(t.Context(), o); err == nil {
		s.Close()
		t.Error("the database was emptied")
	} else if !strings.Contains(err.Error(), "no demo") {
		t.Errorf("error %v", err)
	}
	if _, err := store.Client(t.Context(), "ministry"); err != nil {
		t.Error(err)
	}
}

func TestFurtherClients(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "more.yaml")
	text := `clients:
  - {client_id: shop, client_name: Shop, domain: localhost, redirect_uris: ["http://localhost:9/cb"], client_secret: generate,
     agreement: {number: "1", date: "2026-01-01", reviewer: A},
     purposes: [{id: buy, text: Mua, legal_basis: L, scopes: {required: [profile]}, retention: P1D}]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	idp := idptest.New(t, func(o *stage.Options) { o.ClientsFile = file })
	idp.Browser().SignedIn(idp.Flow("shop", "openid profile"), idp.Person("M1"))
}

// Whoever reads the keys once, before the first sign-in, can verify what is signed for a client of
// the file: the suite does so.
func TestKeysOfFurtherClientsArePublishedBeforeTheFirstOfThemComes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "more.yaml")
	text := `clients:
  - {client_id: shop, client_name: Shop, domain: localhost, redirect_uris: ["http://localhost:9/cb"], client_secret: generate, id_token_signed_response_alg: EdDSA,
     agreement: {number: "1", date: "2026-01-01", reviewer: A},
     purposes: [{id: buy, text: Mua, legal_basis: L, scopes: {required: [profile]}, retention: P1D}]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	idp := idptest.New(t, func(o *stage.Options) { o.ClientsFile = file })
	if body, _ := idp.Server.Keys.JWKS(keyring.Tokens); !strings.Contains(string(body), `"EdDSA"`) {
		t.Errorf("published: %s", body)
	}
}

func TestFurtherClientsWithMistakesAreNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "more.yaml")
	if err := os.WriteFile(file, []byte("clients:\n  - {client_id: shop, colour: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := stage.Open(t.Context(), options(t, func(o *stage.Options) { o.ClientsFile = file }))
	if err == nil || !strings.Contains(err.Error(), "more.yaml:2") || !strings.Contains(err.Error(), "colour") {
		t.Errorf("error %v", err)
	}
}

func options(t *testing.T, change ...func(*stage.Options)) stage.Options {
	o := stage.Options{Config: server.Config{DataDir: t.TempDir()}, Log: slog.New(slog.DiscardHandler), Hash: idptest.Cheap}
	for _, f := range change {
		f(&o)
	}
	return o
}

func TestTakenPortIsAClearError(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			continue // a machine without IPv6
		}
		defer l.Close()
		_, number, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		base, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stage.Open(t.Context(), options(t, func(o *stage.Options) { o.BasePort = base }))
		if err == nil {
			t.Fatalf("the port of %s is taken, and nobody said so", l.Addr())
		}
		for _, want := range []string{number, "another program", "-base-port"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not have %q", err, want)
			}
		}
	}
}

func TestFactsAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t)
	file := filepath.Join(idp.Server.Config.DataDir, "demo.json")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("demo.json has mode %v", info.Mode())
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var inFile, served stage.Facts
	if err := json.Unmarshal(raw, &inFile); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(idp.Browser().Get("/demo.json").Body), &served); err != nil {
		t.Fatal(err)
	}
	if inFile.Issuer != idp.URL || len(inFile.People) == 0 || len(inFile.People) != len(served.People) {
		t.Errorf("file %s, served %s", inFile.Issuer, served.Issuer)
	}
}

// https under a name that no DNS knows: a browser that trusts the certificate signs in at the
// portal, whose library reads discovery, keys and tokens over TLS.
func TestHTTPSUnderAnyName(t *testing.T) {
	t.Parallel()
	const name = "id.thu-nghiem.example"
	cert, key := forge.ForServer(t, name)
	idp := idptest.New(t, func(o *stage.Options) {
		o.Config.Issuer, o.Config.TLSCertFile, o.Config.TLSKeyFile = "https://"+name, cert, key
	})
	holder := idp.Person("M1")
	b := &person{t: t, client: outside(t, idp, name, cert)}
	b.get(idp.Facts.URLs["portal"] + "/login?service=sign_in")
	if b.at.Host != name || b.at.Scheme != "https" {
		t.Fatalf("the portal sent us to %s", b.at)
	}
	b.submit("/signin", url.Values{"username": {holder.Number}, "password": {holder.Password}})
	if !strings.Contains(b.body, "consent-form") {
		t.Fatalf("no consent screen at %s:\n%s", b.at, b.body)
	}
	b.submit("/consent", url.Values{"decision": {"allow"}, "passcode": {holder.Passcode}})
	if !strings.HasPrefix(b.at.String(), idp.Facts.URLs["portal"]) || !strings.Contains(b.body, holder.Name) {
		t.Errorf("ended at %s:\n%s", b.at, b.body)
	}
}

// A demo that speaks TLS takes certificates of clients, and says so (RFC 8705, sections 3.3 and 5).
func TestHTTPSTakesCertificatesOfClients(t *testing.T) {
	t.Parallel()
	const name = "id.thu-nghiem.example"
	cert, key := forge.ForServer(t, name)
	mine, myKey := forge.ForServer(t, "service.example")
	pair, err := tls.LoadX509KeyPair(mine, myKey)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: pair.Leaf.PublicKey, Certificates: []*x509.Certificate{pair.Leaf}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "clients.yaml")
	more := "clients: [{client_id: by-certificate, client_name: By certificate, class: regulated, grant_types: [client_credentials], " +
		"token_endpoint_auth_method: self_signed_tls_client_auth, tls_client_certificate_bound_access_tokens: true, jwks: '" + string(keys) + "'}]"
	if err := os.WriteFile(file, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	idp := idptest.New(t, func(o *stage.Options) {
		o.Config.Issuer, o.Config.TLSCertFile, o.Config.TLSKeyFile, o.ClientsFile = "https://"+name, cert, key, file
	})
	b := &person{t: t, client: outside(t, idp, name, cert)}
	b.get(idp.Facts.Issuer + "/.well-known/openid-configuration")
	var metadata struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Bound   bool     `json:"tls_client_certificate_bound_access_tokens"`
		Aliases struct {
			Token string `json:"token_endpoint"`
		} `json:"mtls_endpoint_aliases"`
	}
	if err := json.Unmarshal([]byte(b.body), &metadata); err != nil || !metadata.Bound || !slices.Contains(metadata.Methods, "self_signed_tls_client_auth") {
		t.Fatalf("%v %+v", err, metadata)
	}
	transport := b.client.Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, strings.Replace(address, name, "127.0.0.1", 1))
	}
	res, err := b.client.PostForm(metadata.Aliases.Token, url.Values{"grant_type": {"client_credentials"}, "client_id": {"by-certificate"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(res.Body) // for the report only
		t.Errorf("the token endpoint answers %d %s", res.StatusCode, said)
	}
}

// outside is a browser whose hosts file and trust store know the demo.
func outside(t *testing.T, idp *idptest.IDP, name, certFile string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	raw, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(raw)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == name+":443" {
			address = idp.Address()
		}
		return d.DialContext(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

// person follows redirects wherever they lead.
type person struct {
	t      *testing.T
	client *http.Client
	at     *url.URL
	body   string
}

func (b *person) get(address string) {
	b.t.Helper()
	res, err := b.client.Get(address)
	b.see(res, err)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// submit sends the form of the page to a path of this site, with its hidden fields.
func (b *person) submit(path string, form url.Values) {
	b.t.Helper()
	action := regexp.MustCompile(`action="(` + path + `[^"]*)"`).FindStringSubmatch(b.body)
	if action == nil {
		b.t.Fatalf("no form for %s at %s:\n%s", path, b.at, b.body)
	}
	for _, field := range hidden.FindAllStringSubmatch(b.body, -1) {
		form.Set(field[1], field[2])
	}
	to, err := b.at.Parse(strings.ReplaceAll(action[1], "&amp;", "&"))
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.client.PostForm(to.String(), form)
	b.see(res, err)
}

func (b *person) see(res *http.Response, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.at, b.body = res.Request.URL, string(raw)
}
