package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// suite speaks with the suite's own interface.
type suite struct {
	base string
	http *http.Client
}

// patience ends a module that waits for something that does not come.
const patience = 5 * time.Minute

// tolerable are the results with which a plan can be certified.
var tolerable = []string{"PASSED", "REVIEW", "WARNING", "SKIPPED"}

// run has the suite run the plans and prints what came out.
func (s setting) run(names string) error {
	plans, err := s.plans(names)
	if err != nil {
		return err
	}
	server, err := s.connect()
	if err != nil {
		return err
	}
	browser, demo, err := s.browser()
	if err != nil {
		return err
	}
	at := metadata{Service: s.Service}
	if err := server.get(s.OP+"/.well-known/openid-configuration", &at); err != nil {
		return err
	}
	if slices.ContainsFunc(plans, plan.service) {
		if err := s.serve(server.http, at, demo); err != nil {
			return err
		}
	}
	bad := 0
	for _, p := range plans {
		config, err := s.config(p, at, browser, demo)
		if err != nil {
			return err
		}
		n, err := server.run(p, config, s.at("logs"))
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		bad += n
	}
	if bad > 0 {
		return fmt.Errorf("%d modules failed", bad)
	}
	return nil
}

func (s setting) connect() (suite, error) {
	pem, err := os.ReadFile(s.at("ca.crt"))
	if err != nil {
		return suite{}, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return suite{s.Suite + "/api/", &http.Client{Transport: transport, Timeout: time.Minute}}, nil
}

// module is one test of a plan, and what came of it.
type module struct {
	Name    string            `json:"testModule"`
	Variant map[string]string `json:"variant"`
	id      string
	result  string
	causes  []string
}

// run runs the modules of a plan one after the other, prints a line for each and returns how many
// stand in the way of a certificate.
func (s suite) run(p plan, config map[string]any, logs string) (bad int, err error) {
	var created struct {
		ID      string
		Modules []*module
	}
	body, err := json.Marshal(config)
	if err != nil {
		return 0, err
	}
	if err := s.post("plan?"+query("planName", p.Plan, "variant", p.Variant), string(body), &created); err != nil {
		return 0, err
	}
	fmt.Printf("\n## %s: %s %v\n\n", p.Name, p.Plan, p.Variant)
	count := map[string]int{}
	for _, m := range created.Modules {
		if err := s.play(created.ID, m, filepath.Join(logs, p.Name)); err != nil {
			return 0, fmt.Errorf("%s: %w", m.Name, err)
		}
		fmt.Printf("%-9s %s\n", m.result, m.Name)
		for _, cause := range m.causes {
			fmt.Printf("%9s   %s\n", "", cause)
		}
		count[m.result]++
		if !slices.Contains(tolerable, m.result) {
			bad++
		}
	}
	fmt.Printf("\n%s: %v\n", p.Name, count)
	return bad, nil
}

// play runs one module and keeps its log.
func (s suite) play(plan string, m *module, logs string) error {
	var created struct{ ID string }
	if err := s.post("runner?"+query("test", m.Name, "plan", plan, "variant", m.Variant), "", &created); err != nil {
		return err
	}
	m.id = created.ID
	var info struct{ Status, Result string }
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var waited struct{ State string }
		if err := s.get(s.base+"runner/"+m.id+"/wait-state?states=FINISHED,INTERRUPTED&timeoutMs=20000", &waited); err != nil {
			return err
		}
		if waited.State != "" {
			break
		}
	}
	if err := s.get(s.base+"info/"+m.id, &info); err != nil {
		return err
	}
	if m.result = cmp.Or(info.Result, "NONE"); info.Status != "FINISHED" {
		m.result = info.Status
	}
	return s.keepLog(m, logs)
}

// keepLog writes the log of a module to a file and finds in it why the module did not pass.
func (s suite) keepLog(m *module, logs string) error {
	var entries []map[string]any
	if err := s.get(s.base+"log/"+m.id, &entries); err != nil {
		return err
	}
	for _, e := range entries {
		if result, _ := e["result"].(string); slices.Contains([]string{"FAILURE", "WARNING", "INTERRUPTED"}, result) {
			m.causes = append(m.causes, fmt.Sprintf("%s %v: %v", result, e["src"], e["msg"]))
		}
	}
	raw, err := json.MarshalIndent(entries, "", " ")
	if err != nil {
		return err
	}
	name := m.Name
	if method := m.Variant["client_auth_type"]; method != "" {
		name += "-" + method
	}
	return errors.Join(os.MkdirAll(logs, 0o700), os.WriteFile(filepath.Join(logs, name+".json"), raw, 0o600))
}

func query(parameters ...any) string {
	v := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		text, plain := parameters[i+1].(string)
		if !plain {
			raw, err := json.Marshal(parameters[i+1])
			if err != nil {
				panic(err) // a map of strings
			}
			text = string(raw)
		}
		v.Set(parameters[i].(string), text)
	}
	return v.Encode()
}

func (s suite) post(path, body string, into any) error {
	return s.do("POST", s.base+path, body, into)
}

func (s suite) get(address string, into any) error { return s.do("GET", address, "", into) }

func (s suite) do(method, address, body string, into any) error {
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.500s", method, address, res.Status, raw)
	}
	return json.Unmarshal(raw, into)
}
