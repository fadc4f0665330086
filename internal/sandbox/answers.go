package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/web"
	"eid.example/idp/provider"
)

// Pause is how long a slow answer takes: longer than most clients have patience.
const Pause = 10 * time.Second

func (s *Sandbox) authorize(op *provider.Provider, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			return next(w, r)
		}
		done, err := op.StageAuthorization(w, r, func(id client.ID) string { return s.take(Authorize, id) })
		if done {
			return err
		}
		return next(w, r)
	}
}

func (s *Sandbox) token(op *provider.Provider, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		switch answer := s.take(Token, op.CallerOf(r)); answer {
		case "":
			return next(w, r)
		case Slow:
			return slowly(next, w, r)
		case ExpiredIDToken:
			return s.expired(next, w, r)
		default:
			return op.StageCall(w, r, answer)
		}
	}
}

func (s *Sandbox) userinfo(op *provider.Provider, next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		id := client.ID("")
		if s.waits(UserInfo) { // to find the client of a token costs an exchange
			id = op.HolderOf(r)
		}
		switch answer := s.take(UserInfo, id); answer {
		case "":
			return next(w, r)
		case Slow:
			return slowly(next, w, r)
		default:
			return op.StageUserinfo(w, r, answer)
		}
	}
}

func (s *Sandbox) waits(endpoint string) bool {
	for _, a := range s.list() {
		if a.Endpoint == endpoint {
			return true
		}
	}
	return false
}

// slowly gives the true answer late. Who hung up before gets none, and nothing is spent.
func slowly(next web.Handler, w http.ResponseWriter, r *http.Request) error {
	if err := sleep(r.Context(), Pause); err != nil {
		return err
	}
	return next(w, r)
}

// sleep is replaced in tests.
var sleep = func(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// expired gives the true answer, but its ID token ended a day ago. An encrypted one is left alone:
// only the client can open it.
func (s *Sandbox) expired(next web.Handler, w http.ResponseWriter, r *http.Request) error {
	held := &recorder{header: w.Header(), status: http.StatusOK}
	if err := next(held, r); err != nil {
		return err
	}
	body := held.body.Bytes()
	var members map[string]json.RawMessage
	var token string
	if json.Unmarshal(body, &members) == nil && json.Unmarshal(members["id_token"], &token) == nil {
		if old, err := s.age(token); err == nil {
			members["id_token"], _ = json.Marshal(old) // a text is always JSON
			body, _ = json.Marshal(members)            // and so is what was JSON before
		}
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(held.status)
	_, err := w.Write(body)
	return err
}

// age moves the times of a signed token a day back and signs it again.
func (s *Sandbox) age(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", http.ErrNotSupported
	}
	var header struct{ Alg, Typ string }
	var claims map[string]any
	for part, to := range map[string]any{parts[0]: &header, parts[1]: &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return "", err
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(to); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"iat", "exp"} {
		if n, ok := claims[name].(json.Number); ok {
			seconds, err := n.Int64()
			if err != nil {
				return "", err
			}
			claims[name] = seconds - int64(24*time.Hour/time.Second)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return s.world.Resign(header.Alg, header.Typ, payload)
}

// recorder holds an answer back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) WriteHeader(status int)      { r.status = status }
