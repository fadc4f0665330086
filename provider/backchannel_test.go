package provider_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/storage/sqldb"
)

// register changes a registered client, as `idp client apply` does.
func register(t *testing.T, idp *idptest.IDP, id string, change func(*client.Client)) {
	t.Helper()
	c, err := idp.Server.Store.Client(t.Context(), client.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	change(c)
	_, _, err = idp.Server.Store.ApplyClients(t.Context(), []client.Client{*c}, func(client.Client, bool) audit.Event {
		return audit.Event{At: idp.Clock.Now(), Action: audit.ClientApplied, Actor: "system", Client: id}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := idp.Server.Clients.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// logoutSite is the relying party's address for logout tokens.
type logoutSite struct {
	*httptest.Server
	t      *testing.T
	idp    *idptest.IDP
	tokens chan string

	mu      sync.Mutex // guards answers
	answers []int      // of the next requests; then 200
}

// listen gives a client an address for logout tokens.
func listen(t *testing.T, idp *idptest.IDP, id string, answers ...int) *logoutSite {
	t.Helper()
	s := &logoutSite{t: t, idp: idp, tokens: make(chan string, 100), answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(s.Close)
	register(t, idp, id, func(c *client.Client) { c.BackChannelLogout = s.URL + "/logout?from=idp" })
	return s
}

func (s *logoutSite) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	form, err2 := url.ParseQuery(string(body))
	if err != nil || err2 != nil || r.Method != "POST" || r.URL.RequestURI() != "/logout?from=idp" || len(form) != 1 ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Cookie") != "" {
		s.t.Errorf("a logout request like %s %s %v %q", r.Method, r.URL, r.Header, body)
	}
	s.mu.Lock()
	status := http.StatusOK
	if len(s.answers) > 0 {
		status, s.answers = s.answers[0], s.answers[1:]
	}
	s.mu.Unlock()
	if status == http.StatusFound {
		w.Header().Set("Location", s.URL+"/elsewhere")
	}
	w.WriteHeader(status)
	s.tokens <- form.Get("logout_token")
}

// next is the next logout token, verified: it says what the ID token said about who and in which session.
func (s *logoutSite) next(what, idToken string) {
	s.t.Helper()
	select {
	case token := <-s.tokens:
		s.verify(what, token, idToken)
	case <-time.After(10 * time.Second):
		s.t.Fatalf("%s: no logout token\n%s", what, s.idp.Log)
	}
}

// quiet fails when a logout token comes within three looks of the sender.
func (s *logoutSite) quiet(what string) {
	s.t.Helper()
	select {
	case token := <-s.tokens:
		s.t.Fatalf("%s: a logout token %v", what, idptest.Claims(s.t, token))
	case <-time.After(1500 * time.Millisecond):
	}
}

func (s *logoutSite) verify(what, token, idToken string) {
	s.t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	hint, err := jose.ParseSignedCompact(idToken, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		s.t.Fatal(err)
	}
	header, was := signed.Signatures[0].Protected, hint.Signatures[0].Protected
	if header.ExtraHeaders[jose.HeaderType] != "logout+jwt" || header.Algorithm != was.Algorithm || header.KeyID != was.KeyID {
		s.t.Errorf("%s: header %+v", what, header)
	}
	payload, err := signed.Verify(keySet(s.t, s.idp))
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		s.t.Fatal(err)
	}
	id := idptest.Claims(s.t, idToken)
	for _, name := range []string{"iss", "aud", "sub", "sid"} {
		if claims[name] != id[name] || claims[name] == nil {
			s.t.Errorf("%s: %s is %v, in the ID token %v", what, name, claims[name], id[name])
		}
	}
	issued, _ := claims["iat"].(float64)
	expires, _ := claims["exp"].(float64)
	if age := float64(s.idp.Clock.Now().Unix()) - issued; age < 0 || age > 60 || expires-issued != 120 {
		s.t.Errorf("%s: iat %v, exp %v", what, issued, expires)
	}
	events, _ := claims["events"].(map[string]any)
	event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	if jti, _ := claims["jti"].(string); len(events) != 1 || !ok || len(event) != 0 || len(jti) < 20 || len(claims) != 8 || claims["nonce"] != nil {
		s.t.Errorf("%s: claims %v", what, claims)
	}
}

func keySet(t *testing.T, idp *idptest.IDP) (keys jose.JSONWebKeySet) {
	t.Helper()
	_, _, body := raw(t, form(t, "GET", idp.URL+"/oauth2/jwks", ""))
	if err := json.Unmarshal([]byte(body), &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestBackChannelDiscovery is oidcc-backchannel-logout-discovery-endpoint-verification.
func TestBackChannelDiscovery(t *testing.T) {
	idp := one(t)
	_, _, body := raw(t, form(t, "GET", idp.URL+"/.well-known/openid-configuration", ""))
	for _, member := range []string{`"backchannel_logout_supported":true`, `"backchannel_logout_session_supported":true`} {
		if !strings.Contains(body, member) {
			t.Errorf("%s is missing", member)
		}
	}
}

// TestBackChannelRPInitiatedLogout is oidcc-backchannel-rp-initiated-logout: RS256 and ES256 clients
// that took part are told, each by its own pairwise name, and nobody else is.
func TestBackChannelRPInitiatedLogout(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		legacy, tool, spa := listen(t, idp, "legacy"), listen(t, idp, "demo-tool", http.StatusNoContent), listen(t, idp, "spa")
		l := signIn(idp)
		other := signIn(idp) // the same holder in another browser
		first := l.SignedIn(idp.Flow("tool", "openid profile"), idp.Person("M1")).ID
		l.SignedIn(idp.Flow("tool", "openid profile"), idp.Person("M1")) // once more: still one logout token

		v := l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye, "state", "s").WantLeft(bye)
		if v.Get("state") != "s" || len(v) != 1 {
			t.Errorf("back with %v", v)
		}
		legacy.next("legacy", l.hint)
		tool.next("tool", first)
		l.want(t, "after logout", false)
		legacy.quiet("legacy once more")
		if len(tool.tokens)+len(spa.tokens) > 0 {
			t.Error("told twice, or told who took no part")
		}
		other.want(t, "the other browser", true)
	})
}

// TestBackChannelWhateverEndsTheSession: every way to end a session on the holder's own pages.
func TestBackChannelWhateverEndsTheSession(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		legacy := listen(t, idp, "legacy")
		l := signIn(idp)
		l.Get("/signout").Submit("logout-confirm")
		legacy.next("sign-out", l.hint)

		l, other := signIn(idp), signIn(idp)
		sid, _ := idptest.Claims(t, other.hint)["sid"].(string)
		l.Post("/account/sessions/end", url.Values{"sid": {sid}}).Want(http.StatusOK)
		legacy.next("ended from the list", other.hint)
		l.Get("/account/sessions").Submit("end-all")
		legacy.next("sign-out everywhere", l.hint)

		l = signIn(idp)
		number := consentOf.FindStringSubmatch(l.Get("/account/consents").Body)
		if number == nil {
			t.Fatal("no consent in the list")
		}
		l.Post(number[0]+"/withdraw", url.Values{}).Want(http.StatusOK)
		legacy.next("consent withdrawn", l.hint)
		l.Get("/account").Want(http.StatusOK) // the session itself goes on

		again := l.SignedIn(idp.Flow("legacy", "openid", "vn_purpose", "sign_in"), idp.Person("M1")).ID
		l.Get("/account/not-me?sid=" + idptest.Claims(t, again)["sid"].(string)).Submit("notme-confirm")
		legacy.next("this was not me", again)
		legacy.quiet("nothing is told twice")
	})
}

var consentOf = regexp.MustCompile(`/account/consents/[A-Za-z0-9_-]+`)

// again moves the clock on until the next try comes.
func (s *logoutSite) again(what, idToken string, wait time.Duration) {
	s.t.Helper()
	for range 20 {
		if err := s.idp.Clock.Advance(wait); err != nil {
			s.t.Fatal(err)
		}
		select {
		case token := <-s.tokens:
			s.verify(what, token, idToken)
			return
		case <-time.After(time.Second): // the outcome of the last try was not noted before the clock moved
		}
	}
	s.t.Fatalf("%s: no further try\n%s", what, s.idp.Log)
}

// told waits for that many audit rows of an outcome.
func told(t *testing.T, idp *idptest.IDP, action audit.Action, want int64) {
	t.Helper()
	var n int64
	for range 100 {
		var err error
		n, err = sqldb.One(t.Context(), idp.Server.Store.DB(), func(r sqldb.Row) (n int64, err error) { return n, r.Scan(&n) },
			`SELECT COUNT(*) FROM audit_rows WHERE action = $1 AND client_id = $2`, action, "legacy")
		if err != nil {
			t.Fatal(err)
		}
		if n == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d audit rows %s, want %d", n, action, want)
}

// TestBackChannelRetries: what is not taken is sent again, a refusal is final, and a redirect is a
// failure that nobody follows (the receiver fails on any other address).
func TestBackChannelRetries(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		legacy := listen(t, idp, "legacy", http.StatusServiceUnavailable, http.StatusFound, http.StatusNotFound)
		l := signIn(idp)
		l.Get("/signout").Submit("logout-confirm")
		legacy.next("first try", l.hint)
		legacy.again("after a 503", l.hint, time.Second)
		legacy.again("after a redirect", l.hint, 5*time.Second)
		legacy.again("after a 404", l.hint, 30*time.Second)
		told(t, idp, audit.LogoutDelivered, 1)
		told(t, idp, audit.LogoutFailed, 0)

		l = signIn(idp)
		legacy.mu.Lock()
		legacy.answers = []int{http.StatusBadRequest}
		legacy.mu.Unlock()
		l.Get("/signout").Submit("logout-confirm")
		legacy.next("refused", l.hint)
		told(t, idp, audit.LogoutFailed, 1)
		if err := idp.Clock.Advance(time.Hour); err != nil {
			t.Fatal(err)
		}
		legacy.quiet("a refusal is final")
	})
}

// TestBackChannelTwoInstancesTellOnce: whichever instance ends a session and sends, the relying party
// hears of it once.
func TestBackChannelTwoInstancesTellOnce(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		legacy := listen(t, idp, "legacy")
		idp.Twin() // reads the clients anew, and sends too
		tokens := map[string]string{}
		for range 8 {
			l := signIn(idp)
			sid, _ := idptest.Claims(t, l.hint)["sid"].(string)
			tokens[sid] = l.hint
			l.Get("/signout").Submit("logout-confirm")
		}
		for range 8 {
			token := <-legacy.tokens
			sid, _ := idptest.Claims(t, token)["sid"].(string)
			if tokens[sid] == "" {
				t.Fatalf("session %q is told twice", sid)
			}
			legacy.verify("two instances", token, tokens[sid])
			delete(tokens, sid)
		}
		legacy.quiet("all are told")
	})
}

// TestBackChannelReceiverThatHangs does not slow the logout down, nor the others' logout tokens.
func TestBackChannelReceiverThatHangs(t *testing.T) {
	idp := one(t)
	let := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-let }))
	t.Cleanup(func() { close(let); hangs.Close() })
	register(t, idp, "demo-tool", func(c *client.Client) { c.BackChannelLogout = hangs.URL })
	legacy := listen(t, idp, "legacy")
	l := signIn(idp)
	l.SignedIn(idp.Flow("tool", "openid profile"), idp.Person("M1"))
	l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye).WantLeft(bye) // while the receiver has not answered
	legacy.next("the other client", l.hint)
}

// TestBackChannelGuard: production calls public https addresses only. The guard is what the server
// gives to the sender.
func TestBackChannelGuard(t *testing.T) {
	reached := make(chan struct{}, 1)
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	t.Cleanup(inside.Close)
	roots := x509.NewCertPool()
	roots.AddCert(inside.Certificate())
	_, err := clientkeys.Guard{Roots: roots}.Client().Post(inside.URL, "application/x-www-form-urlencoded", strings.NewReader("logout_token=x"))
	if !errors.Is(err, clientkeys.ErrAddress) || len(reached) > 0 {
		t.Errorf("an address inside is called: %v", err)
	}
}
