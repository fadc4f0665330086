package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"eid.example/idp/internal/server"
	"eid.example/idp/storage/sqldb"
)

// takeFlags takes a command's own flags out of args; what is left are positional arguments, which
// come first, and settings of the server as flags.
func takeFlags(args []string, names ...string) (own map[string]string, rest []string, err error) {
	own = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") || !slices.Contains(names, name) {
			rest = append(rest, args[i])
			continue
		}
		if !inline {
			if i++; i == len(args) {
				return nil, nil, fmt.Errorf("%w: -%s: a value is missing", errUsage, name)
			}
			value = args[i]
		}
		own[name] = value
	}
	return own, rest, nil
}

// takeSwitch takes a flag without a value out of args.
func takeSwitch(args []string, name string) (rest []string, on bool) {
	rest = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "-"+name || arg == "--"+name })
	return rest, len(rest) < len(args)
}

// settings reads the configuration for a command that works on the stores beside a server: it
// needs no issuer, and the embedded database is as good as any.
func settings(environ, flags []string) (server.Config, error) {
	environ = slices.Concat([]string{"IDP_ISSUER=http://localhost"}, environ, []string{"IDP_ALLOW_EMBEDDED=1"})
	c, err := server.LoadConfig(environ, flags)
	if err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	return c, nil
}

func openDatabase(ctx context.Context, c server.Config) (sqldb.DB, error) {
	return server.OpenDatabase(ctx, c, server.Options{})
}
