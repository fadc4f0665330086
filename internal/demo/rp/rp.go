// Package rp is what the three relying parties of the demonstration have in common: they sign
// people in with OpenID Connect, show what they learned, and sign out again.
//
// A relying party imports nothing of the provider. It knows an issuer, a client_id and a secret,
// and does the rest with github.com/coreos/go-oidc and golang.org/x/oauth2, as anybody would:
//
//	GET  /login?service=KEY   to the provider, with state, nonce and PKCE (S256)
//	GET  /callback            code -> tokens -> ID token and at_hash checked -> userinfo
//	POST /logout              sign out here only
//	POST /logout/everywhere   RP-initiated logout at the provider
//	POST /backchannel-logout  the provider tells that a session has ended (OpenID Connect Back-Channel Logout 1.0)
//	GET, POST /initiate-login somebody else starts a sign-in here (OpenID Connect Core, section 4)
//
// With Config.FAPI it speaks the FAPI 2.0 Security Profile instead: fapi.go, jarm.go, dpop.go and
// transport.go are all that go-oidc and oauth2 lack for it.
//
// The provider may start later than its relying parties, stop and come back: discovery is lazy.
package rp

import (
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is what a relying party has to be told.
type Config struct {
	// Issuer of the provider, exactly as its discovery document names it.
	Issuer string
	// ClientID and ClientSecret of the registration.
	ClientID, ClientSecret string
	// FAPI makes the party speak FAPI 2.0, without a secret; nil means plain OpenID Connect.
	FAPI *FAPIConfig
	// DPoP asks for tokens that are bound to a key of this process, in plain OpenID Connect too.
	DPoP bool
	// BaseURL is this relying party's own origin, like http://localhost:8091. The redirect URI
	// is BaseURL/callback, the post-logout redirect URI BaseURL/signed-out, the back-channel logout
	// URI BaseURL/backchannel-logout, and the initiate-login URI BaseURL/initiate-login.
	BaseURL string
	// HTTPClient talks to the provider; nil means one with a time-out of 10 seconds.
	HTTPClient *http.Client
	// Now is the clock; nil means the real one.
	Now func() time.Time
	// Log may be nil.
	Log *slog.Logger
	// People are shown on the home page for trying; none hides the table.
	People []Person
	// Neighbours are the other relying parties, linked in the footer to try single sign-on; the
	// party itself is left out.
	Neighbours []Link
}

// Person is an invented citizen with whom the demonstration is tried.
type Person struct {
	Name, Number, Password string
	// Note says what the person shows, in Vietnamese; NoteEN in English, when there is one.
	Note, NoteEN string
}

// Link is a named address. NameEN is its English name, when there is one.
type Link struct{ Name, URL, NameEN string }

// Brand is what makes one relying party different from the others.
type Brand struct {
	// Key is short and unique on a host: it names the cookies, because cookies ignore ports.
	Key string
	// Files hold pages/*.html, brand.html, locales/{vi,en}.json, style.css and static/.
	Files fs.FS
	// SecretInBody selects client_secret_post instead of client_secret_basic.
	SecretInBody bool
	// Asks are all the reasons for which this party goes to the provider; the first is the default.
	Asks []Ask
	// StaffPath is the one page for staff: it may use the camera and shows nobody's sign-in;
	// empty: none.
	StaffPath string
}

// Ask is one reason for going to the provider.
type Ask struct {
	Key     string   // names it in /login?service=KEY
	Purpose string   // vn_purpose: the registered purpose shown on the consent screen
	Scopes  []string // with openid
	Claims  string   // the claims parameter (OpenID Connect Core, section 5.5), or empty
	Details string   // authorization_details (RFC 9396), or empty; asked for with FAPI only
	Memo    string   // noted when the sign-in is begun without a memo
	ACR     int      // lowest acr that the party accepts; 0 asks for none
	Level   int      // lowest account level that the party accepts
	Page    string   // path that shows the answer
	// Check is the party's own rule about an answer; nil accepts every answer.
	Check func(*Answer) *Failure
	// Keep is told each answer that passed, so that the party can put it in its file; may be nil.
	Keep func(*Answer)
}

// App serves one relying party.
type App struct {
	cfg      Config
	brand    Brand
	base     *url.URL
	asks     map[string]Ask
	op       *provider
	pages    *pages
	sessions *sessions
	assertor *assertor // nil without FAPI
	proofs   *prover   // nil with bearer tokens
	spent    *spent    // logout tokens
	mux      *http.ServeMux
}

// New checks the configuration and mounts what all relying parties serve. The party adds its own
// pages with Handle.
func New(cfg Config, brand Brand) (*App, error) {
	if cfg.Issuer == "" || cfg.ClientID == "" {
		return nil, fmt.Errorf("relying party %s: issuer and client_id are needed", brand.Key)
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("relying party %s: base URL %q is not an origin", brand.Key, cfg.BaseURL)
	}
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Neighbours = slices.DeleteFunc(slices.Clone(cfg.Neighbours), func(l Link) bool { return strings.TrimSuffix(l.URL, "/") == cfg.BaseURL })
	a := &App{cfg: cfg, brand: brand, base: base, asks: map[string]Ask{}, mux: http.NewServeMux(),
		sessions: newSessions(cfg.Now), spent: newSpent()}
	if err := a.secure(); err != nil {
		return nil, fmt.Errorf("relying party %s: %w", brand.Key, err)
	}
	a.op = &provider{issuer: cfg.Issuer, http: a.client()}
	for _, ask := range brand.Asks {
		a.asks[ask.Key] = ask
	}
	if a.pages, err = readPages(brand.Files); err != nil {
		return nil, fmt.Errorf("relying party %s: %w", brand.Key, err)
	}
	a.mount()
	return a, nil
}

// secure makes the keys that the configuration asks for.
func (a *App) secure() (err error) {
	if a.cfg.FAPI != nil {
		if a.assertor, err = newAssertor(a.cfg); err != nil {
			return err
		}
	}
	if a.cfg.DPoP || a.cfg.FAPI != nil && a.cfg.FAPI.DPoP {
		a.proofs, err = newProver(a.cfg.Now)
	}
	return err
}

func (a *App) mount() {
	a.Handle("GET /callback", a.callback)
	a.Handle("POST /logout", a.logout)
	a.Handle("POST /logout/everywhere", a.logoutEverywhere)
	a.Handle("GET /signed-out", a.signedOut)
	a.Handle("POST /backchannel-logout", a.backChannelLogout)
	a.Handle("GET /initiate-login", a.initiateLogin)
	a.Handle("POST /initiate-login", a.initiateByForm)
	a.Handle("GET /language", a.language)
	a.mux.HandleFunc("GET /style.css", a.stylesheet)
	if static, err := fs.Sub(a.brand.Files, "static"); err == nil {
		a.mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	}
}

// Config returns the configuration with its defaults filled in.
func (a *App) Config() Config { return a.cfg }

// Handler serves the party: headers, protection against cross-site posts, pages for errors.
func (a *App) Handler() http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.AddInsecureBypassPattern("POST /initiate-login") // from anywhere by its nature; changes nothing
	guard.SetDenyHandler(a.wrap(func(*Visit) error { return &Problem{Status: http.StatusForbidden, Key: "cross_site"} }))
	return a.headers(guard.Handler(http.HandlerFunc(a.route)))
}
