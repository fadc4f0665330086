package mtls_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/mtls"
)

var now = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate; with a nil authority it signs itself.
func issue(t testing.TB, key *ecdsa.PrivateKey, shape x509.Certificate, authority *x509.Certificate, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	shape.SerialNumber = big.NewInt(7)
	if shape.NotAfter.IsZero() {
		shape.NotBefore, shape.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
	}
	if authority == nil {
		authority, signer = &shape, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &shape, authority, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t testing.TB, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := newKey(t)
	return issue(t, key, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil), key
}

func bankShape(t testing.TB) x509.Certificate {
	t.Helper()
	uri, err := url.Parse("https://bank.example/client")
	if err != nil {
		t.Fatal(err)
	}
	return x509.Certificate{
		Subject:  pkix.Name{CommonName: "eid.bank.example", Organization: []string{"Ngân hàng Mẫu"}, Country: []string{"VN"}},
		DNSNames: []string{"eid.bank.example"}, URIs: []*url.URL{uri}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
		EmailAddresses: []string{"Client@bank.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func TestCertificateOfAnAuthorityHasToHaveTheRegisteredName(t *testing.T) {
	t.Parallel()
	ca, signer := newAuthority(t, "CA")
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	cert := issue(t, newKey(t), bankShape(t), ca, signer)
	for name, row := range map[string]struct {
		want client.CertificateName
		fits bool
	}{
		"DN":                    {client.CertificateName{SubjectDN: "CN=eid.bank.example,O=Ngân hàng Mẫu,C=VN"}, true},
		"DN in other letters":   {client.CertificateName{SubjectDN: "cn=EID.bank.example, o=ngân hàng mẫu, c=vn"}, true},
		"DN, a part":            {client.CertificateName{SubjectDN: "CN=eid.bank.example"}, false},
		"DN, turned round":      {client.CertificateName{SubjectDN: "C=VN,O=Ngân hàng Mẫu,CN=eid.bank.example"}, false},
		"DN of another":         {client.CertificateName{SubjectDN: "CN=eid.other.example,O=Ngân hàng Mẫu,C=VN"}, false},
		"DN that is none":       {client.CertificateName{SubjectDN: "eid.bank.example"}, false},
		"host":                  {client.CertificateName{DNS: "eid.bank.example"}, true},
		"host in capitals":      {client.CertificateName{DNS: "EID.bank.example"}, true},
		"host above":            {client.CertificateName{DNS: "bank.example"}, false},
		"host below":            {client.CertificateName{DNS: "a.eid.bank.example"}, false},
		"host of another":       {client.CertificateName{DNS: "eid.other.example"}, false},
		"URI":                   {client.CertificateName{URI: "https://bank.example/client"}, true},
		"URI with a slash":      {client.CertificateName{URI: "https://bank.example/client/"}, false},
		"IPv4":                  {client.CertificateName{IP: "192.0.2.1"}, true},
		"IPv4 in IPv6":          {client.CertificateName{IP: "::ffff:192.0.2.1"}, true},
		"IPv6, long":            {client.CertificateName{IP: "2001:0db8:0::0001"}, true},
		"another IP":            {client.CertificateName{IP: "192.0.2.2"}, false},
		"no IP":                 {client.CertificateName{IP: "x"}, false},
		"mail":                  {client.CertificateName{EMail: "Client@BANK.example"}, true},
		"mail in small":         {client.CertificateName{EMail: "client@bank.example"}, false},
		"no mail":               {client.CertificateName{EMail: "Client"}, false},
		"no name registered":    {client.CertificateName{}, false},
		"the DN as host":        {client.CertificateName{DNS: "CN=eid.bank.example"}, false},
		"the host as a DN's CN": {client.CertificateName{SubjectDN: "CN=bank.example"}, false},
	} {
		c := &client.Client{ID: "bank", AuthMethod: client.TLS, Certificate: row.want}
		if err := mtls.Matches(cert, roots, c, jose.JSONWebKeySet{}, now); (err == nil) != row.fits || err != nil && !errors.Is(err, mtls.ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCertificatesThatProveNothing(t *testing.T) {
	t.Parallel()
	ca, signer := newAuthority(t, "CA")
	other, otherSigner := newAuthority(t, "CA") // the same name, another key
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	good := issue(t, newKey(t), bankShape(t), ca, signer)
	server := bankShape(t)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf := bankShape(t)
	leafKey := newKey(t)
	bank := issue(t, leafKey, leaf, ca, signer)
	c := &client.Client{ID: "bank", AuthMethod: client.TLS, Certificate: client.CertificateName{DNS: "eid.bank.example"}}
	if err := mtls.Matches(good, roots, c, jose.JSONWebKeySet{}, now); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		cert  *x509.Certificate
		roots *x509.CertPool
		at    time.Time
	}{
		"none":                             {nil, roots, now},
		"no authority is set up":           {good, nil, now},
		"of an authority of the same name": {issue(t, newKey(t), bankShape(t), other, otherSigner), roots, now},
		"self-signed":                      {issue(t, newKey(t), bankShape(t), nil, nil), roots, now},
		"issued by another client":         {issue(t, newKey(t), bankShape(t), bank, leafKey), roots, now},
		"for servers only":                 {issue(t, newKey(t), server, ca, signer), roots, now},
		"expired":                          {good, roots, now.Add(2 * time.Hour)},
		"not yet valid":                    {good, roots, now.Add(-2 * time.Hour)},
	} {
		if err := mtls.Matches(row.cert, row.roots, c, jose.JSONWebKeySet{}, row.at); !errors.Is(err, mtls.ErrCertificate) || !errors.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	secret := &client.Client{ID: "bank", AuthMethod: client.SecretBasic, Certificate: c.Certificate}
	if err := mtls.Matches(good, roots, secret, jose.JSONWebKeySet{}, now); !errors.Is(err, mtls.ErrCertificate) {
		t.Errorf("a client that is registered for a secret: %v", err)
	}
}

// keySet goes through JSON, as registered keys do.
func keySet(t testing.TB, keys ...jose.JSONWebKey) jose.JSONWebKeySet {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: append([]jose.JSONWebKey{}, keys...)})
	if err != nil {
		t.Fatal(err)
	}
	set, err := client.ReadKeys(raw)
	if err != nil || len(set.Keys) != len(keys) {
		t.Fatalf("%v, %v", set, err)
	}
	return set
}

func TestSelfSignedCertificateHasToBeOneOfTheClient(t *testing.T) {
	t.Parallel()
	key, second := newKey(t), newKey(t)
	cert := issue(t, key, bankShape(t), nil, nil)
	renewed := issue(t, key, bankShape(t), nil, nil) // the same key in another certificate
	stranger := issue(t, second, bankShape(t), nil, nil)
	sum := sha256.Sum256(cert.Raw)
	withCert := jose.JSONWebKey{Key: key.Public(), Certificates: []*x509.Certificate{cert}}
	withSum := jose.JSONWebKey{Key: key.Public(), CertificateThumbprintSHA256: sum[:]}
	bare := jose.JSONWebKey{Key: key.Public()}
	c := &client.Client{ID: "bank", AuthMethod: client.SelfSignedTLS}
	for name, row := range map[string]struct {
		keys      []jose.JSONWebKey
		presented *x509.Certificate
		fits      bool
	}{
		"by certificate":                    {[]jose.JSONWebKey{withCert}, cert, true},
		"by thumbprint":                     {[]jose.JSONWebKey{withSum}, cert, true},
		"by key":                            {[]jose.JSONWebKey{bare}, cert, true},
		"second of two":                     {[]jose.JSONWebKey{{Key: second.Public()}, bare}, cert, true},
		"same key, other certificate":       {[]jose.JSONWebKey{withCert}, renewed, false},
		"same key, other thumbprint":        {[]jose.JSONWebKey{withSum}, renewed, false},
		"same key, no certificate is named": {[]jose.JSONWebKey{bare}, renewed, true},
		"same names, other key":             {[]jose.JSONWebKey{withCert, withSum, bare}, stranger, false},
		"no keys":                           {nil, cert, false},
		"none presented":                    {[]jose.JSONWebKey{bare}, nil, false},
	} {
		if err := mtls.Matches(row.presented, nil, c, keySet(t, row.keys...), now); (err == nil) != row.fits || err != nil && !errors.Is(err, mtls.ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThumbprintIsThatOfRFC8705(t *testing.T) {
	t.Parallel()
	// The certificate and thumbprint of RFC 8705, appendix A.
	block, err := base64.StdEncoding.DecodeString("MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		t.Fatal(err)
	}
	if got := mtls.Thumbprint(cert); got != "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" {
		t.Error(got)
	}
}

const proxyHeader = "X-SSL-Client-Cert"

func escapedPEM(cert *x509.Certificate) string {
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
}

func byteSequence(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}

func TestCertificateIsFoundWhereItCounts(t *testing.T) {
	t.Parallel()
	cert, fake := issue(t, newKey(t), bankShape(t), nil, nil), issue(t, newKey(t), bankShape(t), nil, nil)
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	const proxy, stranger = "10.1.2.3:4000", "203.0.113.9:4000"
	standard, named := mtls.Source{Header: mtls.StandardHeader, Proxies: networks}, mtls.Source{Header: proxyHeader, Proxies: networks}
	for name, row := range map[string]struct {
		source     mtls.Source
		from       string
		connection *x509.Certificate
		header     http.Header
		want       *x509.Certificate
		wrong      bool
	}{
		"of the connection":            {mtls.Source{}, stranger, cert, nil, cert, false},
		"none":                         {mtls.Source{}, stranger, nil, nil, nil, false},
		"RFC 9440":                     {standard, proxy, nil, http.Header{"Client-Cert": {byteSequence(cert)}}, cert, false},
		"percent-encoded PEM":          {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {escapedPEM(cert)}}, cert, false},
		"proxy in IPv6 form":           {standard, "[::ffff:10.1.2.3]:4000", nil, http.Header{"Client-Cert": {byteSequence(cert)}}, cert, false},
		"proxy without a certificate":  {standard, proxy, nil, nil, nil, false},
		"proxy with an empty field":    {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {""}}, nil, false},
		"the proxy's own connection":   {standard, proxy, fake, nil, nil, false},
		"field beside the connection":  {standard, proxy, fake, http.Header{"Client-Cert": {byteSequence(cert)}}, cert, false},
		"field of a stranger":          {standard, stranger, nil, http.Header{"Client-Cert": {byteSequence(fake)}}, nil, false},
		"field of a stranger, own too": {standard, stranger, cert, http.Header{"Client-Cert": {byteSequence(fake)}}, cert, false},
		"field that is not set up":     {mtls.Source{Proxies: networks}, proxy, nil, http.Header{"Client-Cert": {byteSequence(fake)}}, nil, false},
		"other field than set up":      {named, proxy, nil, http.Header{"Client-Cert": {byteSequence(fake)}}, nil, false},
		"unknown remote address":       {standard, "@", nil, http.Header{"Client-Cert": {byteSequence(fake)}}, nil, false},
		"two fields":                   {standard, proxy, nil, http.Header{"Client-Cert": {byteSequence(cert), byteSequence(fake)}}, nil, true},
		"PEM where RFC 9440 is set up": {standard, proxy, nil, http.Header{"Client-Cert": {escapedPEM(cert)}}, nil, true},
		"not closed":                   {standard, proxy, nil, http.Header{"Client-Cert": {strings.TrimSuffix(byteSequence(cert), ":")}}, nil, true},
		"not base64":                   {standard, proxy, nil, http.Header{"Client-Cert": {":???:"}}, nil, true},
		"not a certificate":            {standard, proxy, nil, http.Header{"Client-Cert": {":AAAA:"}}, nil, true},
		"two certificates":             {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {escapedPEM(cert) + escapedPEM(fake)}}, nil, true},
		"a key":                        {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {url.PathEscape("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}}, nil, true},
		"broken escapes":               {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {"%zz"}}, nil, true},
		"huge":                         {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {escapedPEM(cert) + strings.Repeat("%0A", 10<<10)}}, nil, true},
		"Apache's word for none":       {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {"(null)"}}, nil, false},
		"another word":                 {named, proxy, nil, http.Header{"X-Ssl-Client-Cert": {"none"}}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/oauth2/token", nil)
			r.RemoteAddr = row.from
			if row.connection != nil {
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{row.connection}}
			}
			if row.header != nil {
				r.Header = row.header
			}
			r.Header.Set("Accept", "x")
			var reached bool
			w := httptest.NewRecorder()
			row.source.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				reached = true
				if got := mtls.Of(r.Context()); (got == nil) != (row.want == nil) || got != nil && !got.Equal(row.want) {
					t.Errorf("another certificate than that of the client")
				}
				for _, field := range []string{mtls.StandardHeader, row.source.Header} {
					if field != "" && r.Header.Values(field) != nil {
						t.Errorf("the field %s is still there", field)
					}
				}
				if r.Header.Get("Accept") != "x" {
					t.Error("other fields are gone")
				}
			})).ServeHTTP(w, r)
			if reached == row.wrong || row.wrong && w.Code != http.StatusBadRequest {
				t.Errorf("reached: %v, status %d", reached, w.Code)
			}
		})
	}
}

func TestCertificateOfARealConnection(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	cert := issue(t, key, bankShape(t), nil, nil)
	server := httptest.NewUnstartedServer(mtls.Source{}.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := mtls.Of(r.Context()); c != nil {
			w.Header().Set("Seen", mtls.Thumbprint(c))
		}
	})))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport)
	for want, certificates := range map[string][]tls.Certificate{"": nil, mtls.Thumbprint(cert): {{Certificate: [][]byte{cert.Raw}, PrivateKey: crypto.PrivateKey(key)}}} {
		own := transport.Clone()
		own.TLSClientConfig.Certificates = certificates
		answer, err := (&http.Client{Transport: own}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if own.CloseIdleConnections(); answer.Header.Get("Seen") != want {
			t.Errorf("%q, want %q", answer.Header.Get("Seen"), want)
		}
	}
}

func FuzzCertificate(f *testing.F) {
	cert := issue(f, newKey(f), bankShape(f), nil, nil)
	f.Add(byteSequence(cert), true)
	f.Add(escapedPEM(cert), false)
	f.Add("%2D", false)
	f.Fuzz(func(t *testing.T, field string, standard bool) {
		s := mtls.Source{Header: proxyHeader, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		if standard {
			s.Header = mtls.StandardHeader
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header[http.CanonicalHeaderKey(s.Header)] = []string{field}
		got, err := s.Certificate(r)
		if err != nil && (!errors.Is(err, mtls.ErrCertificate) || got != nil) {
			t.Errorf("%v, %v", got, err)
		}
		if got != nil && len(bytes.TrimSpace(got.Raw)) == 0 {
			t.Error("an empty certificate")
		}
	})
}
