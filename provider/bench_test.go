package provider_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// Benchmarks over HTTP through the whole server, on both pairs where IDP_DATABASE_URL and
// IDP_REDIS_URL name servers. cpu-us/op is the processor time of this process (provider and client,
// not the servers of the stores); SSO is a complete sign-in with a live session.

func benchEach(b *testing.B, run func(b *testing.B, idp *idptest.IDP)) {
	quiet := func(o *stage.Options) { o.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) }
	b.Run("embedded", func(b *testing.B) { run(b, idptest.New(b, withClients, quiet)) })
	if idptest.HasProduction() {
		b.Run("production", func(b *testing.B) { run(b, idptest.NewProduction(b, withClients, quiet)) })
	}
}

// measure runs op b.N times on as many goroutines as there are processors.
func measure(b *testing.B, op func(c *http.Client) error) {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b.Cleanup(c.CloseIdleConnections)
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := op(c); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// exchange sends a request and reads the answer whole.
func exchange(c *http.Client, method, address, body string, want int, change ...func(*http.Request)) (http.Header, []byte, error) {
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range change {
		f(req)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s %s answered %d %s", method, address, res.StatusCode, answer)
	}
	return res.Header, answer, err
}

func BenchmarkSSO(b *testing.B) {
	benchEach(b, func(b *testing.B, idp *idptest.IDP) {
		browser := idp.Browser()
		browser.SignedIn(idp.Flow("portal", "openid profile", "vn_purpose", "sign_in"), idp.Person("M1"))
		cookies := browser.Cookies()
		signedIn := func(r *http.Request) {
			for _, c := range cookies {
				r.AddCookie(c)
			}
		}
		f := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
		basic := idptest.Basic(f.Client)
		measure(b, func(c *http.Client) error {
			h, _, err := exchange(c, "GET", idp.URL+f.Address(), "", http.StatusSeeOther, signedIn)
			if err != nil {
				return err
			}
			to, err := url.Parse(h.Get("Location"))
			if err != nil {
				return err
			}
			_, body, err := exchange(c, "POST", idp.URL+"/oauth2/token", f.Form(to.Query().Get("code")).Encode(), http.StatusOK, basic)
			if err != nil {
				return err
			}
			var tokens struct {
				ID string `json:"id_token"`
			}
			if err := json.Unmarshal(body, &tokens); err != nil || tokens.ID == "" {
				return fmt.Errorf("no ID token in %s: %v", body, err)
			}
			return nil
		})
	})
}

func BenchmarkClientCredentials(b *testing.B) {
	benchEach(b, func(b *testing.B, idp *idptest.IDP) {
		basic := idptest.Basic(idp.Client("service"))
		measure(b, func(c *http.Client) error {
			_, _, err := exchange(c, "POST", idp.URL+"/oauth2/token", "grant_type=client_credentials", http.StatusOK, basic)
			return err
		})
	})
}

// The first answer of a token reads the registers; this is the repeat.
func BenchmarkUserinfo(b *testing.B) {
	benchEach(b, func(b *testing.B, idp *idptest.IDP) {
		tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid profile", "vn_purpose", "sign_in"), idp.Person("M1"))
		bearer := idptest.Bearer(tokens.Access)
		measure(b, func(c *http.Client) error {
			_, _, err := exchange(c, "GET", idp.URL+"/oauth2/userinfo", "", http.StatusOK, bearer)
			return err
		})
	})
}

func BenchmarkRefresh(b *testing.B) {
	benchEach(b, func(b *testing.B, idp *idptest.IDP) {
		f := idp.Flow("tool", "openid profile offline_access")
		token := idp.Browser().SignedIn(f, idp.Person("M1"), "offline_access").Refresh
		families := make(chan string, 1) // one family: its uses follow each other
		families <- token
		measure(b, func(c *http.Client) error {
			form := refreshForm(<-families)
			form.Set("client_id", f.Client.ID)
			_, body, err := exchange(c, "POST", idp.URL+"/oauth2/token", form.Encode(), http.StatusOK)
			var tokens struct {
				Refresh string `json:"refresh_token"`
			}
			if err == nil {
				err = json.Unmarshal(body, &tokens)
			}
			families <- tokens.Refresh
			return err
		})
	})
}

func BenchmarkDiscovery(b *testing.B) {
	idp := idptest.New(b, withClients, func(o *stage.Options) { o.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks"} {
		b.Run(path[1:], func(b *testing.B) {
			measure(b, func(c *http.Client) error {
				_, _, err := exchange(c, "GET", idp.URL+path, "", http.StatusOK)
				return err
			})
		})
	}
}
