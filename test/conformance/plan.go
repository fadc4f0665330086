package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
)

// plan is one certification plan with its variant and the clients that it plays.
type plan struct {
	Name    string
	Plan    string
	Variant map[string]string
	Clients map[string]string // name in the suite's configuration -> client
}

// service reports whether nobody signs in: the client credentials grant.
func (p plan) service() bool { return p.Variant["fapi_profile"] == "fapi_client_credentials_grant" }

// registers reports whether the suite registers clients of its own: it is given none.
func (p plan) registers() bool { return len(p.Clients) == 0 }

// facts are the part of demo.json that the suite needs.
type facts struct {
	People  []struct{ Key, Number, Password string }
	Clients []struct{ ID, Secret string }
}

func (f facts) secret(client string) string {
	for _, c := range f.Clients {
		if c.ID == client {
			return c.Secret
		}
	}
	return ""
}

// metadata tells where protected resources are.
type metadata struct {
	UserInfo      string `json:"userinfo_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Aliases       struct {
		UserInfo string `json:"userinfo_endpoint"`
	} `json:"mtls_endpoint_aliases"`
	Service string `json:"-"`
}

// resource is what the plan calls with its access tokens: userinfo, or the service of ours.
func (m metadata) resource(p plan) string {
	switch {
	case p.service():
		return m.Service
	case p.Variant["sender_constrain"] == "mtls":
		return m.Aliases.UserInfo
	}
	return m.UserInfo
}

func (s setting) plans(names string) ([]plan, error) {
	raw, err := files.ReadFile("plans.json")
	if err != nil {
		return nil, err
	}
	var all []plan
	if err := json.Unmarshal(raw, &all); err != nil || names == "" {
		return all, err
	}
	var chosen []plan
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(p plan) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no plan %q in plans.json", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// browser fills in what the scripted browser does at our pages.
func (s setting) browser() (script map[string]any, demo facts, err error) {
	raw, err := os.ReadFile(s.at("demo/demo.json"))
	if err != nil {
		return nil, demo, err
	}
	if err := json.Unmarshal(raw, &demo); err != nil {
		return nil, demo, err
	}
	text, err := s.fill("browser.json", template.FuncMap{"person": func(key string) (any, error) {
		for _, p := range demo.People {
			if p.Key == key {
				return p, nil
			}
		}
		return nil, fmt.Errorf("demo.json knows no %s", key)
	}})
	if err != nil {
		return nil, demo, err
	}
	return script, demo, json.Unmarshal(text, &script)
}

// details are what the plans with rich authorization requests ask for (RFC 9396).
var details = []map[string]string{{"type": "account_opening", "product": "savings_account", "purpose": "test"}}

// config is the suite's configuration of one plan.
func (s setting) config(p plan, at metadata, browser map[string]any, demo facts) (map[string]any, error) {
	config := map[string]any{
		"alias": "idp-" + p.Name, "description": p.Name, "server": map[string]string{"discoveryUrl": s.OP + "/.well-known/openid-configuration"},
		"resource": map[string]any{"resourceUrl": at.resource(p), "richAuthorizationRequest": details},
	}
	for name, value := range browser {
		config[name] = value
	}
	scope := "openid profile email offline_access"
	if p.service() {
		scope = " " // nothing can be asked for without people, and the suite takes no empty one
	}
	if p.registers() {
		for role, name := range map[string]string{"client": "Conformance", "client2": "Another"} { // no two may share a name
			config[role] = map[string]any{"client_name": name, "initial_access_token": s.token}
		}
	}
	for role, name := range p.Clients {
		client := map[string]any{"client_id": "conformance-" + name, "scope": scope}
		if secret := demo.secret("conformance-" + name); secret != "" {
			client["client_secret"] = secret
		}
		if keys, err := os.ReadFile(s.at("conformance-" + name + ".jwks")); err == nil {
			client["jwks"] = json.RawMessage(keys)
		}
		config[role] = client
		certificate, err := os.ReadFile(s.at("conformance-" + name + ".crt"))
		if err == nil {
			key, err := os.ReadFile(s.at("conformance-" + name + ".key"))
			if err != nil {
				return nil, err
			}
			config[strings.Replace(role, "client", "mtls", 1)] = map[string]string{"cert": string(certificate), "key": string(key)}
		}
	}
	return config, nil
}
