package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// world is what a tour knows: the demo's own description of itself (demo.json).
type world struct {
	Issuer     string            `json:"issuer"`
	URLs       map[string]string `json:"urls"`
	People     []person          `json:"people"`
	Outbox     string            `json:"outbox"`
	Clock      string            `json:"clock"`
	Simulators map[string]string `json:"simulators"`

	own bool // started by us, so that its clock may be moved
}

type person struct {
	Key, Name, Number, Phone, Password, Passcode, State string
	Level                                               int
}

func (w *world) person(key string) (person, error) {
	for _, p := range w.People {
		if p.Key == key {
			return p, nil
		}
	}
	return person{}, fmt.Errorf("nobody called %s", key)
}

// code is the newest code that was sent to a telephone.
func (w *world) code(ctx context.Context, phone string) (string, error) {
	var messages []struct{ Code string }
	if err := getJSON(ctx, w.Outbox+"?to="+url.QueryEscape(phone), &messages); err != nil {
		return "", err
	}
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Code != "" {
			return messages[i].Code, nil
		}
	}
	return "", fmt.Errorf("no code was sent to %s", phone)
}

func readWorld(ctx context.Context, base string) (*world, error) {
	var w world
	if err := getJSON(ctx, base+"/demo.json", &w); err != nil {
		return nil, err
	}
	w.Issuer = strings.TrimSuffix(w.Issuer, "/")
	return &w, nil
}

func getJSON(ctx context.Context, address string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// postJSON tells the demo's machinery to behave in some way.
func postJSON(ctx context.Context, address, body string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", address, answer.Status)
	}
	return nil
}

// port of the demo that the tours start; far from the usual one, which may be in use.
const port = "18480"

// startDemo builds and runs a demo of its own with fresh data and waits until it answers.
func startDemo(ctx context.Context) (base string, stop func(), err error) {
	folder, err := os.MkdirTemp("", "screens")
	if err != nil {
		return "", nil, err
	}
	program := filepath.Join(folder, "idp")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/idp")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		os.RemoveAll(folder)
		return "", nil, fmt.Errorf("build the demo: %w", err)
	}
	demo := exec.CommandContext(ctx, program, "sandbox", "-base-port", port, "-data", filepath.Join(folder, "data"))
	demo.Stderr = os.Stderr
	if err := demo.Start(); err != nil {
		os.RemoveAll(folder)
		return "", nil, err
	}
	stop = func() {
		demo.Process.Signal(syscall.SIGTERM)
		demo.Wait()
		os.RemoveAll(folder)
	}
	base = "http://localhost:" + port
	for range 60 {
		if _, err = readWorld(ctx, base); err == nil {
			return base, stop, nil
		}
		select {
		case <-ctx.Done():
			stop()
			return "", nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	stop()
	return "", nil, errors.Join(errors.New("the demo does not answer"), err)
}
