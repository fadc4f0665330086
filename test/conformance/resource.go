package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/mtls"
)

// resource is a service that takes the tokens of clients without people: the plans of the client
// credentials grant call one, and the provider has none, as all it keeps is about people. It asks
// the provider what a token is worth, and the caller for proof that the token is its own.
type resource struct {
	address    string // of the service
	introspect string // of the provider's endpoint
	id, secret string // of the service as a client
	http       *http.Client

	mu   sync.Mutex
	seen map[string]bool // proofs: each is good for one request
}

// serve starts the service for the plans that need it.
func (s setting) serve(http *http.Client, at metadata, demo facts) error {
	const id = "conformance-service"
	service := &resource{address: s.Service, introspect: at.Introspection, id: id, secret: demo.secret(id), http: http, seen: map[string]bool{}}
	return service.serve(s.at("suite.crt"), s.at("suite.key"))
}

func (s *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, problem := http.StatusOK, ""
	if !s.allows(r) {
		status, problem = http.StatusUnauthorized, "invalid_token"
		w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token", algs="ES256 PS256 EdDSA"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": problem}) // the caller may be gone
}

func (s *resource) allows(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var answer struct {
		Active  bool
		Confirm struct {
			Key         string `json:"jkt"`
			Certificate string `json:"x5t#S256"`
		} `json:"cnf"`
	}
	if err := s.ask(token, &answer); err != nil || !answer.Active {
		return false
	}
	if answer.Confirm.Certificate != "" {
		return strings.EqualFold(scheme, "Bearer") && len(r.TLS.PeerCertificates) > 0 && mtls.Thumbprint(r.TLS.PeerCertificates[0]) == answer.Confirm.Certificate
	}
	proof, err := dpop.Verify(r.Header.Values("DPoP"), dpop.Request{Method: r.Method, URL: s.address, AccessToken: token}, time.Now())
	return err == nil && strings.EqualFold(scheme, "DPoP") && proof.Key == answer.Confirm.Key && s.first(proof)
}

func (s *resource) ask(token string, answer any) error {
	body := strings.NewReader(url.Values{"token": {token}}.Encode())
	req, err := http.NewRequest("POST", s.introspect, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(s.id, s.secret)
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(answer)
}

func (s *resource) first(p dpop.Proof) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.seen[p.Replay()]
	s.seen[p.Replay()] = true
	return !again
}

// serve answers at the address until the program ends.
func (s *resource) serve(certFile, keyFile string) error {
	u, err := url.Parse(s.address)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", u.Host, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)} // the suite tries many handshakes that must fail
	go server.Serve(l)                                                       // as long as the program runs
	return nil
}
