package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/policy"
)

// Config is everything an operator can set. Each field is an environment variable, and a flag of
// the same name in lower case with dashes and without the prefix (IDP_LISTEN is -listen). A secret
// may also be named by a file: IDP_DATABASE_URL_FILE. An unknown IDP_ name is an error: a
// misspelt setting must not be a default in silence.
type Config struct {
	// The provider's own address, as relying parties know it: https, no path, no trailing slash.
	// It is the issuer of every token; changing it makes all of them invalid. http is accepted for
	// loopback only. Required.
	Issuer string `env:"IDP_ISSUER"`
	// Address and port of the public listener. Default :8443 with TLS, :8080 without.
	Listen string `env:"IDP_LISTEN"`
	// Address and port of the officers' console, which this version does not have yet.
	OfficerListen string `env:"IDP_OFFICER_LISTEN"`
	// Address and port for /healthz, /readyz and /metrics, which must not be reachable from
	// outside. Default 127.0.0.1:9090.
	OpsListen string `env:"IDP_OPS_LISTEN"`
	// postgres://user:password@host/database. Empty: an SQLite file in the data folder, for one
	// process only.
	DatabaseURL string `env:"IDP_DATABASE_URL,secret"`
	// redis://:password@host:6379/0. Empty: a table of the database.
	RedisURL string `env:"IDP_REDIS_URL,secret"`
	// Folder of the SQLite file, of the root key if it is not elsewhere, and of the signed audit
	// checkpoints. Back the checkpoints up to another machine. Default data.
	DataDir string `env:"IDP_DATA_DIR"`
	// File with the root key, 32 bytes in base64. Whoever has it and the database can sign as the
	// provider; without it the database is worth nothing, so keep a copy offline. Default root.key
	// in the data folder, created when the database is embedded.
	RootKeyFile string `env:"IDP_ROOT_KEY_FILE"`
	// Certificate chain and key of the public listener (PEM), read again when the files change.
	// Empty: a proxy in front speaks TLS.
	TLSCertFile string `env:"IDP_TLS_CERT_FILE"`
	TLSKeyFile  string `env:"IDP_TLS_KEY_FILE"`
	// Address and port of the listener that asks clients for certificates (RFC 8705), and its own
	// address as clients know it, like https://mtls.id.example. Empty: there is none, and a proxy may
	// hand certificates on instead. It speaks TLS with the certificate above.
	MTLSListen string `env:"IDP_MTLS_LISTEN"`
	MTLSIssuer string `env:"IDP_MTLS_ISSUER"`
	// Authorities whose certificates prove tls_client_auth clients (PEM). Empty: none do; self-signed
	// certificates are compared with the keys of their client.
	ClientCAFile string `env:"IDP_CLIENT_CA_FILE"`
	// Header in which the trusted proxies hand on the client's certificate: Client-Cert (RFC 9440) or
	// a name of theirs with a percent-encoded PEM. From everybody else it is removed. Empty: none.
	ClientCertHeader string `env:"IDP_CLIENT_CERT_HEADER"`
	// Networks of the proxies in front, like 10.0.0.0/8, separated by commas. Only from these is
	// X-Forwarded-For believed.
	TrustedProxies string `env:"IDP_TRUSTED_PROXIES"`
	// Address of the SMS gateway; codes and notices are posted to it as JSON. Required unless
	// embedded: without it nobody can reach acr 2.
	SMSURL string `env:"IDP_SMS_URL,secret"`
	// smtp:// or smtps:// address for notices by e-mail. Empty: notices go by SMS only.
	SMTPURL string `env:"IDP_SMTP_URL,secret"`
	// Addresses of the authentic registers, by name: IDP_REGISTRY_POPULATION_URL,
	// IDP_REGISTRY_CITIZEN_CARD_URL and so on (population, citizen_card, immigration,
	// social_insurance, health_insurance, licences, health_records, carrier, tax). The register's
	// key is the password of the address. An item whose register has no address is "unavailable".
	Registers map[policy.Source]string `env:"IDP_REGISTRY_*_URL,secret"`
	// 1 lets services register themselves at /oauth2/register (RFC 7591), each with an invitation that
	// 'idp client invite' gave out. Empty: the address does not exist. Clients that registered
	// themselves go on working when it is taken back, and cannot change themselves then.
	DynamicRegistration string `env:"IDP_DYNAMIC_REGISTRATION"`
	// 1 accepts the embedded stores behind an issuer that is not loopback.
	AllowEmbedded string `env:"IDP_ALLOW_EMBEDDED"`
}

// registerNames are the names that may stand in IDP_REGISTRY_<NAME>_URL.
var registerNames = []policy.Source{
	policy.FromPopulation, policy.FromCitizenCard, policy.FromImmigration, policy.FromSocialInsurance,
	policy.FromHealthInsurance, policy.FromLicences, policy.FromHealthRecords, policy.FromCarrier, policy.FromTax,
}

// setting is one field of Config seen from outside.
type setting struct {
	env    string
	secret bool
	set    func(c *Config, value string)
}

func settings() []setting {
	var out []setting
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("env"), ",")
		if t.Field(i).Type.Kind() == reflect.Map {
			for _, source := range registerNames {
				out = append(out, setting{
					env:    strings.Replace(name, "*", strings.ToUpper(string(source)), 1),
					secret: option == "secret",
					set: func(c *Config, v string) {
						if c.Registers == nil {
							c.Registers = map[policy.Source]string{}
						}
						c.Registers[source] = v
					},
				})
			}
			continue
		}
		out = append(out, setting{env: name, secret: option == "secret",
			set: func(c *Config, v string) { reflect.ValueOf(c).Elem().Field(i).SetString(v) }})
	}
	return out
}

// Flag is the name of the flag of an environment variable.
func flagOf(env string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(env, "IDP_")), "_", "-")
}

// LoadConfig reads the environment, then the flags, which win. All problems are reported together.
func LoadConfig(environ, args []string) (Config, error) {
	var c Config
	known := map[string]setting{}
	for _, s := range settings() {
		known[s.env] = s
		if s.secret {
			known[s.env+"_FILE"] = fromFile(s)
		}
	}
	problems := c.takeEnv(environ, known)
	problems = append(problems, c.takeFlags(args, known)...)
	c.defaults()
	return c, errors.Join(append(problems, c.check()...)...)
}

var errFile = errors.New("cannot read the file")

func fromFile(s setting) setting {
	set := s.set
	s.set = func(c *Config, path string) {
		if raw, err := os.ReadFile(path); err == nil {
			set(c, strings.TrimSpace(string(raw)))
		} else {
			set(c, "\x00"+path) // reported by check
		}
	}
	return s
}

func (c *Config) takeEnv(environ []string, known map[string]setting) (problems []error) {
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "IDP_") {
			continue
		}
		s, ok := known[name]
		if !ok {
			problems = append(problems, fmt.Errorf("%s: no such setting; 'idp serve -h' lists them", name))
			continue
		}
		s.set(c, value)
	}
	return problems
}

func (c *Config) takeFlags(args []string, known map[string]setting) (problems []error) {
	byFlag := map[string]setting{}
	for env, s := range known {
		byFlag[flagOf(env)] = s
	}
	for len(args) > 0 {
		name, value, inline := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		s, ok := byFlag[name]
		if !ok || !strings.HasPrefix(args[0], "-") {
			return append(problems, fmt.Errorf("%s: no such flag; 'idp serve -h' lists them", args[0]))
		}
		args = args[1:]
		if !inline {
			if len(args) == 0 {
				return append(problems, fmt.Errorf("-%s: a value is missing", name))
			}
			value, args = args[0], args[1:]
		}
		s.set(c, value)
	}
	return problems
}

func (c *Config) defaults() {
	def := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	def(&c.DataDir, "data")
	def(&c.RootKeyFile, c.DataDir+"/root.key")
	def(&c.OpsListen, "127.0.0.1:9090")
	if c.TLSCertFile != "" {
		def(&c.Listen, ":8443")
	}
	def(&c.Listen, ":8080")
}

func (c *Config) check() (problems []error) {
	bad := func(name, what string) { problems = append(problems, fmt.Errorf("%s: %s", name, what)) }
	u, err := url.Parse(c.Issuer)
	switch {
	case c.Issuer == "":
		bad("IDP_ISSUER", "is required")
	case err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "":
		bad("IDP_ISSUER", "must be an origin like https://id.example, without a path or trailing slash")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		bad("IDP_ISSUER", "must be https (http is for loopback only)")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		bad("IDP_TLS_CERT_FILE", "certificate and key belong together")
	}
	if (c.MTLSListen == "") != (c.MTLSIssuer == "") || c.MTLSListen != "" && c.TLSCertFile == "" {
		bad("IDP_MTLS_LISTEN", "listener, IDP_MTLS_ISSUER and IDP_TLS_CERT_FILE belong together")
	}
	if _, err := c.Proxies(); err != nil {
		bad("IDP_TRUSTED_PROXIES", err.Error())
	}
	for name, value := range map[string]string{"IDP_DATABASE_URL": c.DatabaseURL, "IDP_REDIS_URL": c.RedisURL, "IDP_SMS_URL": c.SMSURL, "IDP_SMTP_URL": c.SMTPURL} {
		if strings.HasPrefix(value, "\x00") {
			bad(name+"_FILE", errFile.Error()+" "+value[1:])
		}
	}
	if c.DynamicRegistration != "" && c.DynamicRegistration != "1" {
		bad("IDP_DYNAMIC_REGISTRATION", "is either empty or 1")
	}
	if err := notify.CheckAddresses(c.SMSURL, c.SMTPURL); err != nil {
		bad("IDP_SMS_URL, IDP_SMTP_URL", err.Error())
	}
	if c.Embedded() && err == nil && u.Host != "" && !isLoopback(u.Hostname()) && c.AllowEmbedded != "1" {
		bad("IDP_DATABASE_URL", "the embedded stores are for one process on one machine; name PostgreSQL and Redis, or set IDP_ALLOW_EMBEDDED=1")
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return problems
}

// DatabaseFile is the embedded database.
func (c Config) DatabaseFile() string { return filepath.Join(c.DataDir, "idp.db") }

// Embedded reports whether either store is the embedded one.
func (c Config) Embedded() bool { return c.DatabaseURL == "" || c.RedisURL == "" }

// Proxies parses TrustedProxies.
func (c Config) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range strings.FieldsFunc(c.TrustedProxies, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network like 10.0.0.0/8", text)
		}
		out = append(out, p)
	}
	return out, nil
}

// Local reports whether the issuer is this machine: a demo, or a developer's try.
func (c *Config) Local() bool {
	u, err := url.Parse(c.Issuer)
	return err == nil && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
