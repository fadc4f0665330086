package server_test

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// What a stranger can send at most is 64 KiB of body or header. Here every place that takes a text
// from outside gets every kind of text that is known to be heavy for somebody: nested and endless
// JSON, tokens with such parts, floods of parameters, lists without end, RSA keys of odd sizes,
// encrypted and compressed tokens. No answer may be a 5xx; TestNoInputIsAFaultOrCostsMuchMemory
// also bounds what each may allocate, which does not depend on the machine, and
// BenchmarkHostileInput (make bench) tells the processor time of the worst input of each endpoint.

const (
	heavyBody   = 60 << 10
	heavyHeader = 52 << 10
	heavySigned = 10 << 10 // in a token of a client, which may have 16 KiB
)

// heavySizes are below the limits of our own that stand after that of the listener: what passes one goes
// deeper.
var heavySizes = []int{heavyBody, 15000, 4000, 480}

// place takes a text from outside.
type place struct {
	endpoint, name string
	size           int
	texts          func(size int) map[string]string
	send           func(text string) func() (status int)
}

// heavyJSON are values that are hard to parse for their size.
func heavyJSON(size int) map[string]string {
	list := func(first, each, last string) string {
		n := (size - len(first) - len(last)) / len(each)
		return first + strings.TrimSuffix(strings.Repeat(each, n), ",") + last
	}
	var members strings.Builder
	for i := 0; members.Len() < size-32; i++ {
		fmt.Fprintf(&members, `"%x":%d,`, i, i%10)
	}
	return map[string]string{
		"deep arrays":         strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"deep objects":        strings.Repeat(`{"a":`, size/6) + "0" + strings.Repeat("}", size/6),
		"9,000 deep":          strings.Repeat("[", min(9000, size/2)) + strings.Repeat("]", min(9000, size/2)),
		"members":             "{" + members.String() + `"z":0}`,
		"one member, often":   list("{", `"a":0,`, "}"),
		"an element, often":   list("[", `"a",`, "]"),
		"objects":             list("[", `{},`, "]"),
		"objects of requests": list(`{"userinfo":{`, `"name":{"values":["a","b"]},`, "}}"),
		"long number":         strings.Repeat("9", size),
		"small number":        "0." + strings.Repeat("0", size-8) + "1",
		"exponent":            "1e" + strings.Repeat("9", size-2),
		"long text":           `"` + strings.Repeat("a", size-2) + `"`,
		"escapes":             `"` + strings.Repeat(`\ud800`, (size-2)/6) + `"`,
		"not closed":          strings.Repeat(`{"a":[`, size/6),
	}
}

// heavyTexts are texts for parameters and headers.
func heavyTexts(size int) map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	part := size * 3 / 4
	texts := map[string]string{
		"letters":       strings.Repeat("a", size),
		"words":         strings.Repeat("a ", size/2),
		"openid, often": strings.Repeat("openid ", size/7),
		"acr, often":    strings.Repeat("urn:vn:eid:acr:2 ", size/17),
		"languages":     strings.Repeat("vi-VN-x-a,", size/10),
		"weights":       strings.Repeat("en;q=0.1,", size/9),
		"dots":          strings.Repeat(".", size),
		"slashes":       "https://" + strings.Repeat("/..", size/3-3),
		"digits":        strings.Repeat("9", size),
		"not UTF-8":     strings.Repeat("\xff", size),
		"combining":     "a" + strings.Repeat("\u0301", size/2-1),
		"full width":    strings.Repeat("９", size/3),
		"equal signs":   strings.Repeat("=", size),
		"cookies":       strings.Repeat("a=b; ", size/5),
		"own cookies":   strings.Repeat("idp_session=b; ", size/15),
		"media types":   strings.Repeat("text/html;q=0.1,", size/16),
		"three parts":   strings.Repeat("a", size/3-1) + "." + strings.Repeat("b", size/3-1) + "." + strings.Repeat("c", size/3-1),
		"key id":        encode([]byte(`{"alg":"ES256","kid":"`+strings.Repeat("k", part-32)+`"}`)) + ".e30.c2ln",
		"PBES2":         encode([]byte(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"c2FsdHNhbHQ"}`)) + ".a2V5.aXZpdml2aXZpdml2.Y2lwaGVy.dGFndGFndGFndGFn",
		"compressed":    encode([]byte(`{"alg":"ECDH-ES","enc":"A256GCM","zip":"DEF"}`)) + "..aXZpdml2aXZpdml2." + strings.Repeat("A", part) + ".dGFndGFndGFndGFn",
	}
	values := heavyJSON(part - 64)
	for _, name := range []string{"deep arrays", "9,000 deep", "members", "an element, often", "long number"} {
		value := values[name]
		texts["payload: "+name] = encode([]byte(`{"alg":"ES256"}`)) + "." + encode([]byte(value)) + ".c2ln"
		texts["header: "+name] = encode([]byte(`{"alg":"ES256","x":`+value+`}`)) + ".e30.c2ln"
	}
	for name, value := range heavyJSON(size) {
		texts["JSON: "+name] = value
	}
	return texts
}

// heavyBodies are whole forms.
func heavyBodies(size int) map[string]string {
	var names strings.Builder
	for i := 0; names.Len() < size-16; i++ {
		fmt.Fprintf(&names, "&%x=", i)
	}
	return map[string]string{
		"parameters":     names.String(),
		"one name":       strings.Repeat("&a", size/2),
		"nothing":        strings.Repeat("&", size),
		"percent":        "&a=" + strings.Repeat("%41", size/3-2),
		"broken percent": "&a=" + strings.Repeat("%", size-4),
		"plus":           "&a=" + strings.Repeat("+", size-4),
	}
}

// heavyProofs are DPoP proofs whose key or form is heavy; nobody needs a private key to send them.
func heavyProofs(size int) map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	proofs := map[string]string{}
	for _, bits := range []int{1024, 2048, 2049, 8192, 12000} {
		for name, n := range map[string]*big.Int{
			"odd":  new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(159)),
			"even": new(big.Int).Lsh(big.NewInt(1), uint(bits-1)),
		} {
			for _, e := range []string{"AQAB", "f____w", "AQ", "Ag", "f________w"} {
				header := fmt.Sprintf(`{"typ":"dpop+jwt","alg":"PS256","jwk":{"kty":"RSA","n":"%s","e":"%s"}}`, encode(n.Bytes()), e)
				proofs[fmt.Sprintf("RSA %d %s, exponent %s", bits, name, e)] = encode([]byte(header)) + ".e30." + encode(make([]byte, (bits+7)/8))
			}
		}
	}
	for name, value := range heavyJSON(5 << 10) { // a proof has 8 KiB
		proofs["key: "+name] = encode([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+value+`}`)) + ".e30.c2ln"
	}
	for name, value := range heavyTexts(size) {
		proofs[name] = value
	}
	return proofs
}

// bareEscape keeps everything but what separates parameters, so that a heavy text stays its size.
var bareEscape = strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", ";", "%3B", "#", "%23", " ", "+", "\xff", "%ff").Replace

// world is a provider with somebody signed in and requests in progress.
type world struct {
	tb                       testing.TB
	idp                      *idptest.IDP
	handler                  http.Handler
	cookies                  string
	signing, asking, sharing string // pages that wait for a form
}

func newWorld(tb testing.TB, idp *idptest.IDP) *world {
	w := &world{tb: tb, idp: idp, handler: idp.Server.Handler()}
	w.signing = "/signin?" + idp.Browser().Get(idp.Flow("tool", "openid").Address()).URL.RawQuery
	browser := idp.Browser()
	browser.SignedIn(idp.Flow("tool", "openid profile"), idp.Person("M1"))
	w.asking = browser.Get(idp.Flow("portal", "openid", "vn_purpose", "residence_form").Address()).URL.RequestURI()
	w.sharing = "/qr"
	var cookies []string
	for _, c := range browser.Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	w.cookies = strings.Join(cookies, "; ")
	return w
}

// request sends one through the handler; headers are name and value in turn.
func (w *world) request(method, target, body string, headers ...string) func() int {
	return func() int {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.RequestURI = target
		path, query, _ := strings.Cut(target, "?")
		r.URL = &url.URL{Path: path, RawQuery: query}
		if method == "POST" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer := httptest.NewRecorder()
		w.handler.ServeHTTP(answer, r)
		return answer.Code
	}
}

// places lists every place.
func (w *world) places() []place {
	var out []place
	add := func(endpoint, name string, size int, texts func(int) map[string]string, send func(text string) func() int) {
		out = append(out, place{endpoint, name, size, texts, send})
	}
	own := []string{"Cookie", w.cookies, "Sec-Fetch-Site", "same-origin"}
	resource := w.idp.Client("resource")
	basic := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(resource.ID+":"+resource.Secret))}

	forms := []struct {
		path, fixed string
		names       string
		headers     []string
	}{
		{"/oauth2/par", w.asked("tool", "client_id="), "request claims authorization_details id_token_hint scope acr_values ui_locales prompt login_hint state resource redirect_uri vn_purpose max_age request_uri client_secret client_assertion_type", nil},
		{"/oauth2/authorize", w.asked("tool", "client_id="), "request claims authorization_details id_token_hint scope ui_locales redirect_uri request_uri", nil},
		{"/oauth2/token", "client_id=demo-tool&grant_type=authorization_code", "code redirect_uri code_verifier resource authorization_details scope", nil},
		{"/oauth2/token", "client_id=demo-tool&grant_type=refresh_token", "refresh_token scope resource", nil},
		{"/oauth2/token", "client_id=demo-airline&grant_type=urn:ietf:params:oauth:grant-type:device_code", "device_code", nil},
		{"/oauth2/token", "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion client_id", nil},
		{"/oauth2/token", "client_id=x", "grant_type client_secret", nil},
		{"/oauth2/introspect", "", "token token_type_hint", basic},
		{"/oauth2/revoke", "", "token token_type_hint", basic},
		{"/oauth2/device", "client_id=demo-tool", "scope claims vn_purpose", nil},
		{"/oauth2/userinfo", "", "access_token", nil},
		{"/oauth2/logout", "", "id_token_hint post_logout_redirect_uri logout_hint client_id ui_locales state", nil},
		{"/device", "", "user_code", own},
		{w.signing, "username=x&password=x", "username password", []string{"Cookie", "idp_browser=" + strings.Repeat("a", 43), "Sec-Fetch-Site", "same-origin"}},
		{w.asking, "", "item passcode", own},
		{"/qr/consent", "", "item passcode", own},
		{"/account/password", "", "current password repeat", own},
	}
	for _, f := range forms {
		for _, name := range strings.Fields(f.names) {
			add("POST "+route(f.path), name, heavyBody, heavyTexts, func(text string) func() int {
				return w.request("POST", f.path, f.fixed+"&"+name+"="+bareEscape(text), f.headers...)
			})
		}
		add("POST "+route(f.path), "the form", heavyBody, heavyBodies, func(text string) func() int {
			return w.request("POST", f.path, f.fixed+text, f.headers...)
		})
	}
	for path, names := range map[string]string{
		"/oauth2/authorize": "request claims authorization_details id_token_hint scope acr_values ui_locales request_uri posted redirect_uri client_id", "/oauth2/logout": "id_token_hint ui_locales posted",
		"/oauth2/callback": "flow", "/signin": "flow next", "/language": "to back", "/device": "user_code", "/help/level": "need acr", "/account/history": "before", "/services": "q", "/oauth2/userinfo": "access_token",
	} {
		fixed := "/?"
		if path == "/oauth2/authorize" {
			fixed = w.asked("tool", "/?client_id=")
		}
		for _, name := range strings.Fields(names) {
			add("GET "+path, name, heavyHeader, heavyTexts, func(text string) func() int {
				return w.request("GET", path+fixed[1:]+"&"+name+"="+bareEscape(text), "", own...)
			})
		}
		add("GET "+path, "the query", heavyHeader, heavyBodies, func(text string) func() int {
			return w.request("GET", path+fixed[1:]+text, "", own...)
		})
	}
	for _, h := range []struct{ method, path, name, prefix string }{
		{"GET", "/oauth2/userinfo", "Authorization", "Bearer "}, {"GET", "/oauth2/userinfo", "Authorization", "DPoP "}, {"POST", "/oauth2/token", "Authorization", "Basic "},
		{"GET", w.asking, "Cookie", w.cookies + "; "}, {"GET", "/oauth2/authorize", "Cookie", ""}, {"GET", "/signin", "Accept-Language", ""}, {"GET", "/help/level?need=2", "Accept", ""},
		{"GET", "/", "User-Agent", ""}, {"GET", "/", "X-Forwarded-For", ""}, {"GET", "/", "Accept-Encoding", ""}, {"POST", "/signin", "Origin", ""}, {"POST", "/oauth2/token", "Content-Type", ""},
		{"GET", "/.well-known/openid-configuration", "If-None-Match", ""}, {"GET", "/oauth2/jwks", "Origin", ""},
	} {
		add(h.method+" "+route(h.path), h.name, heavyHeader, heavyTexts, func(text string) func() int {
			return w.request(h.method, h.path, "", h.name, h.prefix+text)
		})
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/userinfo"} {
		add("POST "+path, "DPoP", heavyHeader, heavyProofs, func(text string) func() int {
			return w.request("POST", path, "client_id=demo-tool&grant_type=client_credentials", "DPoP", text, "Authorization", "DPoP "+strings.Repeat("a", 43))
		})
	}
	add("POST /qrshare/v1/redeem", "the body", heavyBody, heavyJSON, func(text string) func() int {
		return w.request("POST", "/qrshare/v1/redeem", text, append(slices.Clone(basic), "Content-Type", "application/json")...)
	})
	return append(append(out, w.signedPlaces()...), documentPlaces()...)
}

// signedPlaces are inside of what a registered client signs, which is read only once the signature
// has been verified.
func (w *world) signedPlaces() (out []place) {
	bank := w.idp.Client("bank")
	now := w.idp.Clock.Now()
	sign := func(claims map[string]any, name, value string) string {
		claims["iss"], claims["aud"], claims["client_id"], claims["exp"], claims["nbf"] = bank.ID, w.idp.URL, bank.ID, now.Add(time.Minute).Unix(), now.Unix()
		rest := strings.TrimSuffix(jsonText(w.tb, claims), "}")
		return compact(w.tb, *bank.JWK, []byte(rest+`,"`+name+`":`+value+`}`), map[jose.HeaderKey]any{"kid": bank.JWK.KeyID})
	}
	for _, name := range []string{"claims", "authorization_details", "scope", "aud", "exp", "max_age", "other"} {
		out = append(out, place{"POST /oauth2/par", "request object: " + name, heavySigned, heavyJSON, func(value string) func() int {
			object := sign(map[string]any{"response_type": "code", "redirect_uri": bank.RedirectURIs[0], "scope": "openid", "code_challenge": strings.Repeat("a", 43), "code_challenge_method": "S256"}, name, value)
			form := proving(w.tb, w.idp, bank, url.Values{"request": {object}})
			return w.request("POST", "/oauth2/par", form.Encode())
		}})
	}
	for _, name := range []string{"aud", "jti", "other"} {
		out = append(out, place{"POST /oauth2/token", "client assertion: " + name, heavySigned, heavyJSON, func(value string) func() int {
			claims := map[string]any{"sub": bank.ID}
			if name != "jti" {
				claims["jti"] = rand.Text()
			}
			return w.request("POST", "/oauth2/token", "grant_type=refresh_token&refresh_token=x&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion="+sign(claims, name, value))
		}})
	}
	return out
}

// documentPlaces are registrations and key sets, which come by a file, an endpoint or an address.
func documentPlaces() []place {
	ran := func(read func()) func() int { return func() int { read(); return http.StatusBadRequest } }
	return []place{
		{"jwks of a client", "the document", heavyBody, heavyJSON, func(text string) func() int { return ran(func() { client.ReadKeys([]byte(text)) }) }},
		{"jwks of a client", "keys", heavyBody, heavyJSON, func(text string) func() int {
			return ran(func() { client.ReadKeys([]byte(`{"keys":[` + text[:len(text)-16] + `]}`)) })
		}},
		{"registration of a client", "the document", heavyBody, heavyJSON, func(text string) func() int {
			return ran(func() { client.Rules{}.FromMetadata([]byte(text), "x", client.Template{Class: client.Portal}) })
		}},
		{"registration of a client", "redirect_uris", heavyBody, heavyJSON, func(text string) func() int {
			return ran(func() {
				client.Rules{}.FromMetadata([]byte(`{"redirect_uris":`+text+`}`), "x", client.Template{Class: client.Portal})
			})
		}},
	}
}

func route(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// asked is an authorization request of a client, after a prefix that ends in "client_id=".
func (w *world) asked(key, prefix string) string {
	q := w.idp.Flow(key, "").Query
	for _, name := range []string{"client_id", "scope", "state", "redirect_uri"} {
		q.Del(name)
	}
	return prefix + w.idp.Client(key).ID + "&" + q.Encode()
}

// cost of one run.
type cost struct {
	cpu            time.Duration
	allocs, volume uint64
}

// each visits every place with every text of every size.
func (w *world) each(sizes []int, visit func(p place, name, text string)) {
	for _, p := range w.places() {
		for _, size := range sizes {
			for name, text := range p.texts(min(size, p.size)) {
				visit(p, name, text)
			}
		}
	}
}

// costOf is the least cost of some runs: what else happens in the process is not the input's doing.
func costOf(tb testing.TB, p place, name, text string, runs int) cost {
	tb.Helper()
	least := cost{time.Hour, 1 << 62, 1 << 62}
	for range runs {
		run := p.send(text) // signs anew what may be used once
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cpu := cpuTime(tb)
		status := run()
		cpu = cpuTime(tb) - cpu
		runtime.ReadMemStats(&after)
		if status >= 500 {
			tb.Errorf("%s, %s: %s answered %d", p.endpoint, p.name, name, status)
		}
		least.cpu, least.allocs, least.volume = min(least.cpu, cpu), min(least.allocs, after.Mallocs-before.Mallocs), min(least.volume, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// A heavy text costs no more than its length: five allocations and four hundred bytes for each of
// its own, which is far below what would hold a processor for a tenth of a second.
const (
	mostAllocs = 5 * heavyBody
	mostVolume = 400 * heavyBody
)

func TestNoInputIsAFaultOrCostsMuchMemory(t *testing.T) {
	w := newWorld(t, idptest.New(t))
	w.each([]int{heavyBody, 4000}, func(p place, name, text string) {
		c := costOf(t, p, name, text, 1)
		if c.allocs > mostAllocs || c.volume > mostVolume {
			c = costOf(t, p, name, text, 3)
		}
		if c.allocs > mostAllocs || c.volume > mostVolume {
			t.Errorf("%s, %s: %s allocates %d times, %d kB", p.endpoint, p.name, name, c.allocs, c.volume>>10)
		}
	})
}

// BenchmarkHostileInput tells, for each endpoint, the input that costs most processor time.
func BenchmarkHostileInput(b *testing.B) {
	const most = 100 * time.Millisecond
	w := newWorld(b, idptest.New(b))
	worst, what := map[string]time.Duration{}, map[string]string{}
	b.ResetTimer()
	w.each(heavySizes, func(p place, name, text string) {
		if costOf(b, p, name, text, 1).cpu <= worst[p.endpoint] {
			return
		}
		if c := costOf(b, p, name, text, 5).cpu; c > worst[p.endpoint] {
			worst[p.endpoint], what[p.endpoint] = c, fmt.Sprintf("%s: %s (%d bytes)", p.name, name, len(text))
		}
	})
	b.ReportMetric(0, "ns/op")
	endpoints := slices.SortedFunc(maps.Keys(worst), func(x, y string) int { return cmp.Compare(worst[y], worst[x]) })
	var table strings.Builder
	for _, e := range endpoints {
		fmt.Fprintf(&table, "%8.1f ms  %-26s %s\n", float64(worst[e].Microseconds())/1000, e, what[e])
	}
	fmt.Printf("\nthe worst input of each endpoint, in processor time:\n%s\n", table.String())
	if worst[endpoints[0]] > most {
		b.Errorf("%s: more than %v", endpoints[0], most)
	}
}
