package server_test

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// load is an order to the process that makes it.
type load struct {
	Kind        string
	Count       int
	Connections int
	URL         string
	Numbers     []string // of holders who have agreed to everything below; a connection is one of them
	Password    string
	Flows       map[string]flow    // by client
	Services    map[string]service // by client
}

// flow is how a client asks for a sign-in and redeems the code.
type flow struct {
	Authorize string // path and query, the same for all
	Form      string // token request but for the code
	Basic     [2]string
}

// service is how a client shows who it is.
type service struct {
	Basic [2]string
	Key   *jose.JSONWebKey
}

// result is what that process answers.
type result struct {
	Took     time.Duration
	P50, P99 time.Duration
	Errors   int
	First    string // of them
}

// makeLoad is the other process: it reads an order, prepares what an operation uses up, waits for a
// line, works the order off, and answers with a result.
func makeLoad() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	var l load
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &l)
	}
	var workers []*worker
	if err == nil {
		workers, err = l.workers()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	if _, err := in.ReadBytes('\n'); err != nil {
		os.Exit(1)
	}
	if out.Encode(l.workOff(workers)) != nil {
		os.Exit(1)
	}
}

// workers get ready, some at a time.
func (l load) workers() ([]*worker, error) {
	workers, errs := make([]*worker, l.Connections), make([]error, l.Connections)
	spare := make(chan string, l.Count+l.Connections*l.Connections)
	turns := make(chan struct{}, min(8, len(l.Numbers))) // who knows the password ten times at once is refused
	var wg sync.WaitGroup
	for i := range workers {
		workers[i] = &worker{load: l, number: l.Numbers[i%len(l.Numbers)], cookies: map[string]string{}, spare: spare,
			transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}}
		wg.Go(func() {
			turns <- struct{}{}
			errs[i] = workers[i].prepare()
			<-turns
		})
	}
	wg.Wait()
	return workers, errors.Join(errs...)
}

func (l load) workOff(workers []*worker) result {
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		mu    sync.Mutex // guards r
		r     result
		took  = make([]time.Duration, l.Count)
		start = time.Now()
	)
	for _, w := range workers {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(l.Count); n = next.Add(1) - 1 {
				began := time.Now()
				err := w.operation()
				took[n] = time.Since(began)
				if err != nil {
					mu.Lock()
					if r.Errors++; r.First == "" {
						r.First = err.Error()
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	r.Took = time.Since(start)
	slices.Sort(took)
	r.P50, r.P99 = took[l.Count/2], took[l.Count*99/100]
	return r
}

// worker is one connection, with its holder, browser and tokens.
type worker struct {
	load
	number    string
	cookies   map[string]string
	token     string      // access token
	refresh   string      // the newest refresh token
	spare     chan string // tokens to be revoked, of all workers: a quick one needs more of them
	transport *http.Transport
}

// prepare does ahead what is not measured.
func (w *worker) prepare() (err error) {
	switch w.Kind {
	case "login_sso":
		_, err = w.login("portal")
	case "login_sso RS256":
		_, err = w.login("portal-rs256")
	case "login":
		if _, err = w.login("portal"); err == nil { // the browser is a known one from now on
			w.signOut()
		}
	case "refresh":
		w.refresh, err = w.refreshable("tool")
	case "refresh RS256":
		w.refresh, err = w.refreshable("tool-rs256")
	case "userinfo", "introspection":
		if err = w.signInAnd("portal", w.login); err == nil {
			_, _, err = w.send("GET", "/oauth2/userinfo", "", http.StatusOK, bearer(w.token))
		}
	case "revocation":
		for range w.Count/w.Connections + w.Connections {
			if _, err = w.clientCredentials("service"); err != nil {
				return err
			}
			w.spare <- w.token
		}
	}
	return err
}

func (w *worker) operation() (err error) {
	switch w.Kind {
	case "discovery":
		_, _, err = w.send("GET", "/.well-known/openid-configuration", "", http.StatusOK)
	case "jwks":
		_, _, err = w.send("GET", "/oauth2/jwks", "", http.StatusOK)
	case "client_credentials":
		_, err = w.clientCredentials("service")
	case "client_credentials at+jwt":
		_, err = w.clientCredentials("service-jwt")
	case "client_credentials private_key_jwt":
		_, err = w.clientCredentials("service-key")
	case "login_sso":
		err = w.signInAnd("portal", w.withSession)
	case "login_sso RS256":
		err = w.signInAnd("portal-rs256", w.withSession)
	case "login":
		w.signOut()
		err = w.signInAnd("portal", w.login)
	case "refresh":
		err = w.renew("tool")
	case "refresh RS256":
		err = w.renew("tool-rs256")
	case "userinfo":
		_, _, err = w.send("GET", "/oauth2/userinfo", "", http.StatusOK, bearer(w.token))
	case "introspection":
		_, _, err = w.send("POST", "/oauth2/introspect", "token="+w.token, http.StatusOK, basic(w.Services["resource"].Basic))
	case "revocation":
		_, _, err = w.send("POST", "/oauth2/revoke", "token="+<-w.spare, http.StatusOK, basic(w.Services["service"].Basic))
	default:
		err = fmt.Errorf("unknown kind %q", w.Kind)
	}
	return err
}

func (w *worker) signOut() { delete(w.cookies, "idp_session") }

// signInAnd gets a code in one of two ways, and tokens for it.
func (w *worker) signInAnd(client string, way func(client string) (code string, err error)) error {
	code, err := way(client)
	if err != nil {
		return err
	}
	f := w.Flows[client]
	var authenticate []func(*http.Request)
	if f.Basic[0] != "" {
		authenticate = append(authenticate, basic(f.Basic))
	}
	return w.tokens(f.Form+"&code="+code, authenticate...)
}

// withSession is the authorization request in a session, to the code.
func (w *worker) withSession(client string) (code string, err error) {
	to, _, err := w.send("GET", w.Flows[client].Authorize, "", http.StatusSeeOther)
	if err != nil {
		return "", err
	}
	return codeOf(to)
}

// login is the authorization request, the sign-in page, number and password, and the way back.
func (w *worker) login(client string) (code string, err error) {
	page, _, err := w.send("GET", w.Flows[client].Authorize, "", http.StatusSeeOther)
	if err == nil {
		_, _, err = w.send("GET", page.RequestURI(), "", http.StatusOK)
	}
	if err != nil {
		return "", err
	}
	form := url.Values{"username": {w.number}, "password": {w.Password}}
	back, _, err := w.send("POST", page.RequestURI(), form.Encode(), http.StatusSeeOther, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") })
	if err != nil {
		return "", err
	}
	to, _, err := w.send("GET", back.RequestURI(), "", http.StatusSeeOther)
	if err != nil {
		return "", err
	}
	return codeOf(to)
}

func codeOf(to *url.URL) (string, error) {
	code := to.Query().Get("code")
	if code == "" {
		return "", fmt.Errorf("no code in %s", to)
	}
	return code, nil
}

func (w *worker) refreshable(client string) (string, error) {
	err := w.signInAnd(client, w.login)
	return w.refresh, err
}

func (w *worker) renew(client string) error {
	return w.tokens(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.refresh}, "client_id": {w.Services[client].Basic[0]}}.Encode())
}

func (w *worker) clientCredentials(client string) (token string, err error) {
	s := w.Services[client]
	if s.Key == nil {
		return "", w.tokens("grant_type=client_credentials", basic(s.Basic))
	}
	assertion, err := w.assertion(s)
	if err != nil {
		return "", err
	}
	return "", w.tokens("grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=" + assertion)
}

func (w *worker) assertion(s service) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.Key}, nil)
	if err != nil {
		return "", err
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": s.Basic[0], "sub": s.Basic[0], "aud": w.URL, "jti": rand.Text(), "iat": now, "exp": now + 60})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// tokens sends a token request and keeps what comes.
func (w *worker) tokens(form string, change ...func(*http.Request)) error {
	_, body, err := w.send("POST", "/oauth2/token", form, http.StatusOK, change...)
	if err != nil {
		return err
	}
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Access == "" {
		return fmt.Errorf("token answer %s: %v", body, err)
	}
	w.token, w.refresh = answer.Access, answer.Refresh
	return nil
}

func (w *worker) send(method, path, form string, want int, change ...func(*http.Request)) (to *url.URL, body []byte, err error) {
	req, err := http.NewRequest(method, w.URL+path, strings.NewReader(form))
	if err != nil {
		return nil, nil, err
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, name := range slices.Sorted(maps.Keys(w.cookies)) {
		req.AddCookie(&http.Cookie{Name: name, Value: w.cookies[name]})
	}
	for _, f := range change {
		f(req)
	}
	res, err := w.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		return nil, nil, err
	}
	if res.StatusCode != want {
		return nil, nil, fmt.Errorf("%s %s answered %d %.200s", method, path, res.StatusCode, body)
	}
	for _, c := range res.Cookies() {
		if c.Name == "idp_session" || c.Name == "idp_browser" {
			w.cookies[c.Name] = c.Value
		}
	}
	if want == http.StatusSeeOther {
		to, err = res.Location()
	}
	return to, body, err
}

func basic(id [2]string) func(*http.Request) {
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id[0])+":"+url.QueryEscape(id[1])))
	return func(r *http.Request) { r.Header.Set("Authorization", header) }
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}
