package stage

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry/simulator"
)

// playRegisters starts a simulator for each register on a free port, and points the configuration
// at them. The key is new at every start: only this provider knows it.
func (s *Stage) playRegisters(context.Context) error {
	key := expiring.NewSecret()
	s.options.Config.Registers = map[policy.Source]string{}
	for source, handler := range simulator.Handlers(simulator.Options{First: s.first, Now: s.Clock.Now, Key: key}) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("simulator of %s: %w", source, err)
		}
		s.sites = append(s.sites, newSite(handler, s.options.Log, []net.Listener{l}))
		s.Simulators[source] = "http://" + l.Addr().String()
		s.options.Config.Registers[source] = (&url.URL{Scheme: "http", Host: l.Addr().String(), User: url.UserPassword("idp", key)}).String()
	}
	return nil
}
