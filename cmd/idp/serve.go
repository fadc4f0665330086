package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"eid.example/idp/internal/server"
	"eid.example/idp/storage"
)

func serve(ctx context.Context, env environment) error {
	if asksHelp(env.args) {
		return server.Manual(env.out)
	}
	c, err := server.LoadConfig(env.environ, env.args)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(server.GCPercent)
	}
	log := jsonLog(env.log)
	logTo(log)
	listeners, err := openListeners(c)
	if err != nil {
		return err
	}
	s, err := server.Build(ctx, c, server.Options{Log: log})
	if err != nil {
		return err
	}
	log.Info("serving", "issuer", c.Issuer, "listen", c.Listen, "ops", c.OpsListen,
		"database", engine(c.DatabaseURL, "postgres"), "expiring", engine(c.RedisURL, "redis"))
	if c.SMSURL == "" {
		log.Warn("no SMS gateway: nobody can sign in with two factors; set IDP_SMS_URL")
	}
	if c.OfficerListen != "" {
		log.Warn("this version has no officers' console", "setting", "IDP_OFFICER_LISTEN")
	}
	err = s.Serve(ctx, listeners)
	if closing := s.Close(); err == nil {
		err = closing
	}
	log.Info("stopped")
	return err
}

func openListeners(c server.Config) (out server.Listeners, err error) {
	for _, one := range []struct {
		address string
		into    *[]net.Listener
	}{{c.Listen, &out.Public}, {c.MTLSListen, &out.Mutual}, {c.OpsListen, &out.Ops}} {
		if one.address == "" {
			continue
		}
		l, err := server.Listen(one.address)
		if err != nil {
			return out, err
		}
		*one.into = append(*one.into, l)
	}
	return out, nil
}

func engine(address, name string) string {
	if address == "" {
		return "embedded"
	}
	return name
}

// migrate is `idp migrate`: serve does the same at its start.
func migrate(ctx context.Context, env environment) error {
	if asksHelp(env.args) {
		_, err := fmt.Fprintln(env.out, "usage: idp migrate [settings of 'idp serve']")
		return err
	}
	c, err := settings(env.environ, env.args)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer db.Close()
	applied, err := storage.Migrate(ctx, db, time.Now())
	for _, name := range applied {
		fmt.Fprintln(env.out, name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(env.out, "the schema is up to date")
	}
	return err
}
